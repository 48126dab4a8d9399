/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_TOUCH_H
#define BEESTING_TOUCH_H

/* A hook has met an inode that may be watched: whose is it, and does it count? */

#include "report.h"

/* Flags of touched(), beside the kind in the low byte. */
#define WRITING 0x100	/* a variant of its own */
#define D_PATH 0x200	/* the hook may call bpf_d_path */
#define IF_LSM (LSM_D_PATH ? D_PATH : 0)
#define BY_NAME 0x400	/* also counts on the inode that a bind mount covers */

/*
 * The denials among errors, everything else is told as allowed: EPERM, EACCES,
 * EBUSY, EXDEV, ETXTBSY, EROFS. A set, as the verifier would follow each case of
 * a switch to the end.
 */
#define DENIALS (1U << 1 | 1U << 13 | 1U << 16 | 1U << 18 | 1U << 26 | 1U << 30)

static __always_inline __u16 denial(long err)
{
	__u32 n = -err;

	return n < 32 ? n * (DENIALS >> n & 1) : 0;
}

static __always_inline void refuse(struct touch *t, long err)
{
	t->err = denial(err);
	if (t->err)
		t->variant = VARIANT_DENIED;
}

/* Who acts, if it is somebody known: by cgroup, or by the program's inode. */
static __noinline int known_actor(void)
{
	struct task_struct *task = CURRENT();
	__u64 cgroup = bpf_get_current_cgroup_id();
	struct mm_struct *mm = LOAD(task, mm);
	struct inode *inode;
	struct watch *w;
	struct file *exe;

	if (bpf_map_lookup_elem(&exempt_cgroups, &cgroup))
		return ACTOR_ALLOWED;
	exe = mm ? LOAD(mm, exe_file) : NULL;
	inode = exe ? LOAD(exe, f_inode) : NULL;
	if (!inode || !maybe_watched(inode))
		return 0;
	w = watch_find(inode);
	return w ? w->flags & WATCH_ACTOR : 0;
}

static __noinline int exempted(__u64 placement)
{
	struct count *count = bpf_map_lookup_elem(&counts, &placement);

	if (count)
		__sync_fetch_and_add(&count->exempt, 1);
	return 0;
}

/*
 * Whether the touch is one. Fills in what every touch needs. `how` is a kind
 * with flags; `file` may be NULL.
 */
static __noinline int counts_as(struct touch *t, struct inode *inode, struct file *file, __u32 how)
{
	struct task_struct *task = CURRENT(), *leader;
	struct watch *w;

	if (active != generation)
		return 0;
	w = watch_find(inode);
	if (!w || !w->placement || is_self())
		return 0;
	if (w->flags & WATCH_DIRECTORY) {
		if ((how & 0xff) != KIND_READ)
			return 0;
		how = KIND_LIST;
	}
	if (w->flags & WATCH_COVERED && !(how & BY_NAME))
		return 0;
	if (w->flags & WATCH_BACKING && by_overlay(file, w->creds, (how & 0xff) == KIND_ACCESS))
		return 0; /* the overlay inode above it has been reported */
	t->actor = known_actor();
	if (t->actor == ACTOR_ALLOWED && !report_exempt)
		return exempted(w->placement);
	leader = LOAD(task, group_leader);
	t->placement = w->placement;
	t->ino = w->ino;
	t->dev = w->dev;
	t->generation = w->generation;
	t->watch = w->flags;
	t->kind = how;
	t->variant = how & WRITING ? VARIANT_WRITE : VARIANT_READ;
	t->now = bpf_ktime_get_boot_ns();
	t->pid = bpf_get_current_pid_tgid() >> 32;
	t->start_time = leader ? LOAD(leader, start_boottime) : 0;
	return 1;
}

/* A touch that is over at once, and did (err 0) or did not come about. */
static __always_inline void touched(struct inode *inode, struct file *file, __u32 how, long err, const void *detail)
{
	struct touch t = {};

	if (!maybe_watched(inode) || !counts_as(&t, inode, file, how))
		return;
	refuse(&t, err);
	t.detail = detail;
	report(&t, file, how & D_PATH);
}

/* What only the system call tells apart; of the native ones, and not by io_uring. */
#if HAVE_EXIT
static __always_inline __u8 kind_by_syscall(__u64 *third)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	__u64 nr = SYSCALL_OF(regs);

	*third = THIRD_OF(regs);
	return nr < 512 ? kind_of_syscall[nr] : 0;
}
#endif

#endif /* BEESTING_TOUCH_H */
