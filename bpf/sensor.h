/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_SENSOR_H
#define BEESTING_SENSOR_H

/*
 * What the programs and the Go side agree on: the event and the values of the
 * maps. A change of any of them needs a new LAYOUT, under which the maps are
 * pinned, so that an agent never reads another version's.
 */

#include "tasks.h"

#define LAYOUT 4
#define EXE_MAX 1024
#define ARGS_MAX 1024
#define CWD_MAX 512
#define DETAIL_MAX 256
#define ANCESTORS_MAX 8
#define GENERATIONS_MAX 32
#define UNSET ((__u32)-1)

/* In the order of event.go. */
enum kind {
	KIND_OPEN = 1,
	KIND_EXEC,
	KIND_OPEN_PATH,
	KIND_READ,
	KIND_WRITE,
	KIND_RECEIVE,
	KIND_MMAP,
	KIND_STAT,
	KIND_ACCESS,
	KIND_READLINK,
	KIND_HANDLE,
	KIND_XATTR,
	KIND_SETATTR,
	KIND_LINK,
	KIND_SYMLINK,
	KIND_RENAME,
	KIND_UNLINK,
	KIND_MOUNT,
	KIND_WATCH,
	KIND_LOCK,
	KIND_LIST,
	KIND_CLOSE,
	KINDS,
};

/* Ways that are told apart within a kind: each has a first touch of its own. */
enum variant { VARIANT_READ, VARIANT_WRITE, VARIANT_DENIED };

/* Bits of event.bits. */
#define EXE_MISSING (1 << 0)	/* no path, or longer than EXE_MAX */
#define EXE_REVERSED (1 << 1)	/* NUL-terminated components, last first */
#define EXE_CUT (1 << 2)	/* leading components are missing */
#define EXE_DELETED (1 << 3)	/* unlinked; d_path would say " (deleted)" */
#define ARGS_MISSING (1 << 4)	/* the pages are not in memory */
#define ARGS_CUT (1 << 5)	/* longer than ARGS_MAX */
#define CWD_MISSING (1 << 6)
#define CWD_REVERSED (1 << 7)
#define CWD_CUT (1 << 8)
#define DETAIL_CUT (1 << 9)

struct ancestor {
	__u64 start_time;
	__u32 pid, unused;
	__u8 comm[16];
};

struct event {
	__u64 time;
	__u64 placement;
	__u64 start_time;
	__u64 parent_start_time;
	__u64 entry_start_time;
	__u64 cgroup_id;
	__u64 inode;
	__u64 total;
	__u64 handle;
	__u64 open_time;
	__u64 reads, writes;
	__u64 capabilities;
	__u32 pid, tid, parent_pid, entry_pid;
	__u32 uid, euid, gid, egid;
	__u32 login_uid, audit_session, session_leader;
	__u32 file_flags, file_mode, dev, generation;
	__u32 mnt_ns, pid_ns, net_ns, user_ns, cgroup_ns;
	__u16 bits, err;
	__u16 exe_len, args_len, cwd_len, detail_len;
	__u8 version, kind, variant, actor, ancestors, reserved[7];
	__u8 comm[16];
	struct ancestor ancestor[ANCESTORS_MAX];
	__u8 exe[EXE_MAX];
	__u8 args[ARGS_MAX];
	__u8 cwd[CWD_MAX];
	__u8 detail[DETAIL_MAX];
};

/* The low byte of watch.flags, for an inode that is an actor's binary. */
enum actor { ACTOR_ALLOWED = 1, ACTOR_RUNTIME, ACTOR_KUBELET };
#define WATCH_ACTOR 0xff

/*
 * The inode under an overlay file: the overlay inode is watched too, and what
 * is done through it was reported there already.
 */
#define WATCH_BACKING 0x100
/* The inode that a bind mount covers: only its name can be touched. */
#define WATCH_COVERED 0x200
/* A directory that tokens are in: only listing it counts. */
#define WATCH_DIRECTORY 0x400
/*
 * The agent's lock is on the inode (FollowOpens), so that closes are seen while
 * there is one; of an agent that is gone the lock is gone too, and this stays.
 */
#define WATCH_FOLLOWED 0x800

/*
 * A watched inode. The key is its address; number, device and generation tell
 * another inode at the same address, which there can be when the agent, who
 * keeps the file open, is gone.
 */
struct watch {
	__u64 placement;
	__u64 ino;
	__u64 creds; /* of WATCH_BACKING: the address of the overlay's */
	__u32 dev, generation;
	__u32 flags, slot, second_slot, unused;
};

struct count {
	__u64 seen[KINDS];
	__u64 lost[KINDS];
	__u64 exempt;
};

/* Kept by user space, see Account in mode.go. */
struct account {
	__u64 delivered[KINDS];
	__u64 coalesced[KINDS];
	__u64 lost[KINDS];
	__u64 position;
};

struct repeat_key {
	__u64 placement;
	__u64 start_time;
	__u32 pid;
	__u8 kind, variant, unused[2];
};

struct repeat {
	__u64 total;
	__u64 told; /* when the last event was sent */
	__u64 last;
	__u64 held; /* kind 0: open files that this process opened; signed */
};

struct open_file {
	__u64 placement;
	__u64 start_time;
	__u64 time;
	__u64 inode; /* its address: a file's may be another's before we hear of it */
	__u32 pid;
	__u32 reads, writes;
	__u8 kind, told, counted, unused;
};

#include "enrolment.h"

/*
 * Whether kernel and user memory may be read through the probe helpers; the
 * loader says no under lockdown=confidentiality. Branches on a constant are
 * dropped before the verifier looks at helpers.
 */
const volatile bool may_probe = true;

/* Force the types into the object's BTF, where the Go side takes them from. */
const struct event *unused_event __attribute__((unused));
const struct account *unused_account __attribute__((unused));
const struct count *unused_count __attribute__((unused));

#endif /* BEESTING_SENSOR_H */
