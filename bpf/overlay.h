/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_OVERLAY_H
#define BEESTING_OVERLAY_H

/* What overlayfs does itself, below what somebody does to a file of its own. */

#include "maps.h"

/*
 * FMODE_BACKING (since 6.5) and FMODE_NOACCOUNT, include/linux/fs.h: a file
 * that a file system opened for itself on behalf of one that the user opened.
 * NOACCOUNT alone marks overlay's backing files up to 6.4.
 */
#define FMODE_INTERNAL (0x2000000 | 0x20000000)

#define PF_IO_WORKER 0x10 /* include/linux/sched.h, as the next */
#define PF_KTHREAD 0x200000

/* Zero if there are none, which can't be; the verifier asks. */
static __always_inline __u64 borrowed_creds(struct task_struct *task)
{
	const struct cred *cred = LOAD(task, cred);

	return cred && cred != LOAD(task, real_cred) ? ADDRESS(cred) : 0;
}

/*
 * Whether overlayfs acts for itself, on the backing inode of one that somebody
 * acts on. It borrows credentials that are its super block's, made at the mount
 * and no task's (creator_cred, fs/overlayfs/ovl_entry.h): those that the inode
 * was enrolled under. For link(2) older kernels make a copy of them (5.10, see
 * ovl_create_or_link), and another overlay over the same lower file has its own.
 * So other borrowed ones count too, but not where they are borrowed for something
 * else: by access(2), by nfsd and its like, and for io_uring, whose workers go
 * about with the credentials of each request. Rather one event too many than a
 * way round.
 */
static __always_inline bool by_overlay(struct file *file, __u64 creds, bool of_access)
{
	struct task_struct *task = CURRENT();
	__u64 borrowed = borrowed_creds(task);

	if (file && LOAD(file, f_mode) & FMODE_INTERNAL)
		return true;
	if (!borrowed || borrowed == creds)
		return borrowed;
	if (of_access || LOAD(task, flags) & (PF_IO_WORKER | PF_KTHREAD))
		return false;
	return !bpf_core_field_exists(task->io_uring) || !LOAD(task, io_uring);
}

/* What only the enrolment knows of a backing inode. */
static __always_inline void note_overlay(struct watch *w, struct file *file)
{
	if (!by_overlay(file, 0, false))
		return;
	w->flags |= WATCH_BACKING;
	w->creds = borrowed_creds(CURRENT());
}

#endif /* BEESTING_OVERLAY_H */
