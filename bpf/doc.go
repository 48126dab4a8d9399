// Package bpf is the kernel side of the sensor and the only Go door to it: it
// loads one of three eBPF programs at security_file_open's place, enrols the
// inodes to watch, and hands out one [Event] for each open of a watched inode.
//
// It knows inodes and numbers, nothing of tokens, pods or containers: the map in
// the kernel is inode → placement id, and every event carries that id.
//
// # Attach modes
//
// One body of code (body.h) runs at the same place in three ways, tried in this
// order:
//
//   - [ModeLSM]: a BPF LSM program at file_open. The watch hangs on the inode
//     itself (inode-local storage). Needs 5.11 and "bpf" among the kernel's LSMs.
//   - [ModeFentry]: a BPF trampoline at security_file_open. Needs 5.11.
//   - [ModeKprobe]: a kprobe at security_file_open. Needs 5.8 and kprobes.
//
// All need the kernel's BTF (CONFIG_DEBUG_INFO_BTF). [Open] proves the mode it
// settles on by an enrolment that has to pass the hook: 5.10 attaches an LSM
// program without an error and never runs it when lsm= does not name bpf.
//
// # The key of a watch
//
// No system call prints the identity under which the hook will see an inode:
// st_dev differs from the super block's number on btrfs and overlayfs, and an
// open of an overlay file passes the hook twice, with two inodes. So
// [Sensor.Watch] opens the file once more while the program takes down every
// inode which that open passes, and keeps it open so that neither inode nor
// address can be used again for another file.
//
// # What is not an event
//
// Opens by this process, recognised by its pid namespace and pid, and the open
// of an overlay file's backing inode, which was reported with the overlay's own.
package bpf
