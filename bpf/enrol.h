/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_ENROL_H
#define BEESTING_ENROL_H

/* What is decided on an open: enrol, ignore or report. The end of body.h. */

static __noinline int enrol_inode(struct file *file, __u64 watched_by)
{
	struct inode *inode = LOAD(file, f_inode);
	struct watch w = {};
	__u32 tid = self_tid();

	/*
	 * The variable may have been cleared since the caller looked, and a
	 * stranger's tid is zero as well. The enrolling thread itself can't
	 * meet that: it clears the variable after its open.
	 */
	if (!tid || tid != enrol.tid)
		return 0;
	if (enrol.op == ENROL_REMOVE) {
		if (watched_by == enrol.placement && !watch_remove(inode))
			enrol.done++;
		return 0;
	}
	if (watched_by) {
		enrol.conflict = watched_by;
		return 0;
	}
	w.placement = enrol.placement;
	if (opened_by_overlay(file))
		w.flags = WATCH_BACKING;
	if (watch_add(inode, &w))
		enrol.failed++;
	else
		enrol.done++;
	return 0;
}

/* A watched inode is being opened. */
static __noinline int touched(struct file *file, struct watch *w)
{
	if (self_tid())
		return enrol.tid ? enrol_inode(file, w->placement) : 0;
	if (w->flags & WATCH_BACKING && opened_by_overlay(file))
		return 0; /* the overlay inode above it has been reported */
	return report(file, w->placement);
}

/*
 * What every open on the machine runs: one look-up, and one load that is zero
 * but for the moment when a watch is being set. The inode is not kept for the
 * rare cases: one more register to save is four instructions in every open.
 */
static __always_inline void on_open(struct file *file)
{
	struct watch *w = watch_find(LOAD(file, f_inode));

	if (w)
		touched(file, w);
	else if (enrol.tid)
		enrol_inode(file, 0);
}

#endif /* BEESTING_ENROL_H */
