/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_SENSOR_H
#define BEESTING_SENSOR_H

/*
 * What the programs and the Go side agree on: the event, the maps, the
 * variables. body.h says what is done with them.
 */

#include "types.h"

#define EVENT_VERSION 1
#define EXE_MAX 1024
#define ARGS_MAX 1024
#define GENERATIONS_MAX 32
#define UNSET ((__u32)-1)

enum kind { KIND_OPEN = 1 };

/* Bits of event.bits. */
#define EXE_MISSING (1 << 0)	/* no path, or longer than EXE_MAX */
#define EXE_REVERSED (1 << 1)	/* NUL-terminated components, last first */
#define EXE_CUT (1 << 2)	/* leading components are missing */
#define EXE_DELETED (1 << 3)	/* unlinked; d_path would say " (deleted)" */
#define ARGS_MISSING (1 << 4)	/* the pages are not in memory */
#define ARGS_CUT (1 << 5)	/* longer than ARGS_MAX */

struct event {
	__u64 time;
	__u64 placement;
	__u64 start_time;
	__u64 parent_start_time;
	__u64 entry_start_time;
	__u64 cgroup_id;
	__u64 inode;
	__u32 pid, tid, parent_pid, entry_pid;
	__u32 uid, euid, gid, egid;
	__u32 login_uid, audit_session, session_leader;
	__u32 file_flags, file_mode, dev, generation;
	__u16 exe_len, args_len;
	__u8 version, kind, bits, reserved[5];
	__u8 comm[16];
	__u8 exe[EXE_MAX];
	__u8 args[ARGS_MAX];
};

/* Force the types into the object's BTF, where the Go side takes them from. */
const struct event *unused_event __attribute__((unused));

/*
 * A watched inode. BACKING marks the inode under an overlay file: the overlay
 * inode is watched too, and an open through it was reported there already.
 */
#define WATCH_BACKING 1

struct watch {
	__u64 placement;
	__u64 flags;
};

struct count {
	__u64 seen;
	__u64 lost;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22); /* set by the loader */
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set by the loader */
	__type(key, __u64);
	__type(value, struct count);
} counts SEC(".maps");

/* Who the agent is: its pid as seen in its own pid namespace. */
const volatile __u64 self_ns_dev = 0;
const volatile __u64 self_ns_ino = 0;
const volatile __u32 self_tgid = 0;

/*
 * Whether arguments may be read; the loader says no under
 * lockdown=confidentiality, where cilium/ebpf (0.22) takes the refused
 * bpf_probe_read_kernel for an old kernel's lack of it and puts bpf_probe_read,
 * refused as well, in place of bpf_probe_read_user. Branches on a constant are
 * dropped before the verifier looks at helpers.
 */
const volatile bool read_args = true;

/*
 * Enrolment. The key of a watch has to be the inode that the hook will be
 * given, and no system call prints that: st_dev differs from s_dev on btrfs
 * and overlayfs, and an overlay file is two inodes. So the agent opens the
 * file while `enrol` names its thread, and the program takes down every inode
 * that this open passes.
 */
#define ENROL_ADD 1
#define ENROL_REMOVE 2

struct enrolment {
	__u64 placement;
	__u64 conflict; /* out: the placement that watches the inode already */
	__u32 tid;	/* 0: nobody enrols */
	__u32 op;
	__u32 done;   /* out: inodes added or removed */
	__u32 failed; /* out: inodes for which the map had no room */
};

volatile struct enrolment enrol = {};

/* Events lost because the ring had no room. */
volatile __u64 lost_ring_full = 0;

#endif /* BEESTING_SENSOR_H */
