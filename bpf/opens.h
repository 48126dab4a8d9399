/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_OPENS_H
#define BEESTING_OPENS_H

/* Opens of watched inodes. */

#include "touch.h"

#define FMODE_WRITE 0x2
#define FLAG_EXEC 0x20	/* __FMODE_EXEC; open(2) strips it, openat2(2) refuses it */

/*
 * Whether the last close of the file will be seen: if the agent holds a lock on
 * the inode (FollowOpens), so that the kernel has to look for the file's own
 * locks then (locks_remove_file), and a trace point lies on that way only. Any
 * lock leads there, but one of somebody else's can be gone before the close.
 */
static __always_inline bool close_is_seen(struct touch *t, struct inode *inode)
{
	struct file_lock_context *locks = LOAD(inode, i_flctx);

	return t->watch & WATCH_FOLLOWED && locks && (void *)LOAD(locks, flc_posix.next) != (void *)PATH_OF(locks, flc_posix);
}

/*
 * How many open files of the placement the process has opened: for fstat. Two
 * threads that close at once can take it below zero, as the entry can have been
 * forgotten between: that is none, and the next ones tell a stat too many.
 */
static __always_inline void hold(struct open_file *f, int by)
{
	struct repeat_key key = {};
	struct repeat fresh = {}, *r;

	key.placement = f->placement;
	key.start_time = f->start_time;
	key.pid = f->pid;
	r = bpf_map_lookup_elem(&repeats, &key);
	if (!r && by > 0) {
		bpf_map_update_elem(&repeats, &key, &fresh, BPF_NOEXIST);
		r = bpf_map_lookup_elem(&repeats, &key);
	}
	if (r && (by > 0 || (__s64)r->held > 0))
		__sync_fetch_and_add(&r->held, (__u64)(long)by);
}

/*
 * While one process takes over from another, both generations of programs are
 * attached, for seconds: detaching is done behind the scenes. The map of open
 * files is theirs in common, and only for the active one to touch.
 */
static __always_inline bool is_active(void)
{
	return active == generation;
}

static __noinline int opened(struct inode *inode, struct file *file)
{
	__u32 flags = LOAD(file, f_flags);
	__u32 mode = LOAD(file, f_mode);
	/* No branches: the verifier would follow each to the end. */
	__u32 how = KIND_OPEN + (flags / FLAG_EXEC & 1) + (mode & FMODE_WRITE) * (WRITING / FMODE_WRITE);
	struct open_file f = {};
	__u64 key = (__u64)file;
	struct touch t = {};
	bool seen;

	if (!is_active())
		return 0;
	if (!counts_as(&t, inode, file, how)) {
		bpf_map_delete_elem(&opens, &key); /* of an earlier file at this address */
		return 0;
	}
	/* The agent drops the lock when it hears of a writer. */
	seen = !(mode & FMODE_WRITE) && close_is_seen(&t, inode);
	/* Names the open file for user space without telling its address. */
	if (seen)
		t.handle = t.now << 8 | (t.pid & 0xff);
	report(&t, file, true);

	f.placement = t.placement;
	f.start_time = t.start_time;
	f.time = t.now;
	f.inode = (__u64)inode;
	f.pid = t.pid;
	f.kind = t.kind;
	f.told = t.told && seen;
	f.counted = seen;
	bpf_map_update_elem(&opens, &key, &f, BPF_ANY);
	if (seen)
		hold(&f, 1);
	return 0;
}

static __always_inline void on_open(struct file *file)
{
	struct inode *inode = LOAD(file, f_inode);

	if (maybe_watched(inode))
		opened(inode, file);
	if (enrol.tid && active == generation)
		enrol_inode(inode, file);
}

#endif /* BEESTING_OPENS_H */
