/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_CLOSES_H
#define BEESTING_CLOSES_H

/*
 * The last close. __fput calls locks_remove_posix with the file as the owner,
 * for the locks of the open file description (close(2) with the process's table
 * as owner before that); the trace point is passed only where the inode has a
 * lock. So this costs no other file a single instruction.
 */
LOCKS_REMOVED(locks_removed)
{
	struct file_lock *lock = ARG_RAW(ctx, 2);
	struct file_lock___old *old = (void *)lock;
	struct file *file;
	void *owner;

	if (!lock) /* the verifier thinks it possible (6.12) */
		return 0;
	if (bpf_core_field_exists(lock->c)) {
		file = LOAD(lock, c.flc_file);
		owner = LOAD(lock, c.flc_owner);
	} else {
		file = LOAD(old, fl_file);
		owner = LOAD(old, fl_owner);
	}
	if (owner == (void *)file)
		closed(file);
	return 0;
}

#endif /* BEESTING_CLOSES_H */
