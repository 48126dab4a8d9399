/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_ATTRIBUTES_H
#define BEESTING_ATTRIBUTES_H

#include "files.h"

/*
 * The attributes of a file that the process has open belong to that open. fstat
 * is recognised by its path, which lies within the file; up to 6.5 that of the C
 * libraries (newfstatat with an empty path) has a copy.
 */
static __noinline int asked(struct inode *inode, struct path *path)
{
	__u64 file = (__u64)((void *)path - bpf_core_field_offset(struct file, f_path));
	struct open_file *f = bpf_map_lookup_elem(&opens, &file);
	struct repeat_key key = {};
	struct touch t = {};
	struct repeat *r;

	if (f && is_openers(f))
		return 0;
	if (!counts_as(&t, inode, NULL, KIND_STAT))
		return 0;
	key.placement = t.placement;
	key.start_time = t.start_time;
	key.pid = t.pid;
	r = bpf_map_lookup_elem(&repeats, &key);
	/* Ends that weren't seen, after the agent let go of its lock, aren't in it. */
	if (r && (__s64)r->held > 0 && close_is_seen(&t, inode))
		return 0;
	return report(&t, NULL, true);
}

#endif /* BEESTING_ATTRIBUTES_H */
