// Package bpf is the kernel side of the sensor and the only Go door to it: it
// loads eBPF programs at every place where a file can be touched, enrols the
// inodes to watch, and hands out an [Event] for a touch of a watched inode.
//
// It knows inodes and numbers, nothing of tokens, pods or containers: the map in
// the kernel is inode → placement id, and every event carries that id.
//
// docs/sensor.md is the long version of what follows, docs/conformance.md what
// came of trying it.
//
// # Attach modes and tiers
//
// The same programs run in three ways, tried in this order:
//
//   - [ModeLSM]: BPF LSM programs at the security hooks, trampolines (fentry,
//     fexit) at functions that have none. Needs 5.11 and "bpf" among the
//     kernel's LSMs.
//   - [ModeFentry]: trampolines everywhere. Needs 5.11.
//   - [ModeKprobe]: kprobes everywhere. Needs 5.8 and kprobes, and knows of no
//     result.
//
// All need the kernel's BTF (CONFIG_DEBUG_INFO_BTF); the first two need 6.4 on
// arm64. [Open] proves the mode it settles on by an enrolment that has to pass
// the hook: 5.10 attaches an LSM program without an error and never runs it when
// lsm= does not name bpf. What a kernel has no place for is left out, and
// [Sensor.Coverage] says so. [TierRecon] adds the functions that run in nearly
// every system call with a path.
//
// The headers, from the bottom: types.h, tasks.h and sensor.h (what the kernel's
// and our own data look like), maps.h, typed.h, probed.h and tracing.h (how a
// mode reads the kernel's memory and where it can attach), watch.h (filter,
// look-up, enrolment), paths.h and actor.h (who it was), report.h (count, and
// tell if it is due), touch.h and pending.h (does it count, did it come about?),
// and then the places themselves: files.h, attributes.h, hooks.h, names.h,
// mounts.h, closes.h, recon.h.
//
// # The key of a watch
//
// No system call prints the identity under which a hook will see an inode:
// st_dev differs from the super block's number on btrfs and overlayfs, and an
// open of an overlay file passes the hook twice, with two inodes. So
// [Sensor.Watch] opens the file once more while the program takes down every
// inode which that open passes, and keeps it open so that neither inode nor
// address can be used again for another file.
//
// A table of bytes stands before the map, with two slots for an inode's address:
// one that is zero says that it isn't watched. That is what all other files pay.
//
// # What is an event
//
// Every touch is counted ([Sensor.Count]). A process's first touch of a placement
// in a way is an event at once, further ones make one event in an interval, with
// the number there have been; what is left stands in a table ([Sensor.Repeats]).
// What came of it is the caller's account, kept beside the counters
// ([Sensor.SetAccount]).
//
// No touches are: what this process does, recognised by its task; what exempt
// actors do ([Sensor.Exempt], [Sensor.ExemptCgroup]), which is only counted; what
// overlayfs does to a backing inode on behalf of a touch that was told already.
//
// The end of an open is an event of [KindClose] where that costs nobody else
// anything: a lock on the watched file leads its last close, and no other file's,
// through a trace point ([Sensor.FollowOpens]).
//
// # After the end
//
// With [Options.Pin] the programs stay attached when this process ends, and go on
// counting. The next [Open] takes over: see pin.go. [Uninstall] removes them.
package bpf
