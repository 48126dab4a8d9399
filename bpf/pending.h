/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_PENDING_H
#define BEESTING_PENDING_H

/*
 * What is touched is found at the entry of a function, whether it came about at
 * its return: an unlink leaves no inode behind, an overlay passes through twice.
 * Both are given the same `object`, as the return of another call is none of
 * this one: overlayfs calls the function again in the midst of it, and a return
 * that was skipped leaves an entry behind.
 */

#include "touch.h"

#if HAVE_EXIT
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* a return can be skipped */
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct touch);
} pending SEC(".maps");

static __noinline int await(struct inode *inode, __u32 how, __u64 object)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct touch t = {};

	t.object = object;
	if (counts_as(&t, inode, NULL, how))
		bpf_map_update_elem(&pending, &key, &t, BPF_ANY);
	return 0;
}

static __always_inline void came_about(__u8 kind, __u64 object, long err, const void *detail)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct touch t = {}, *found = bpf_map_lookup_elem(&pending, &key);

	if (!found || found->kind != kind || found->object != object)
		return;
	t = *found;
	bpf_map_delete_elem(&pending, &key);
	refuse(&t, err);
	t.detail = detail;
	report(&t, NULL, false);
}

#define AWAIT(inode, how, object) (maybe_watched(inode) ? await(inode, how, ADDRESS(object)) : 0)
#else
#define AWAIT(inode, how, object) (touched(inode, NULL, how, 0, NULL), 0)
#endif

#endif /* BEESTING_PENDING_H */
