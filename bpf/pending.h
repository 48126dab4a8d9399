/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_PENDING_H
#define BEESTING_PENDING_H

/*
 * What is touched is found at the entry of a function, whether it came about at
 * its return: an unlink leaves no inode behind, an overlay passes through twice.
 */

#include "touch.h"

#if HAVE_EXIT
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH); /* a return can be skipped */
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct touch);
} pending SEC(".maps");

static __noinline int await(struct inode *inode, __u32 how)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct touch t = {};

	if (counts_as(&t, inode, NULL, how))
		bpf_map_update_elem(&pending, &key, &t, BPF_ANY);
	return 0;
}

static __always_inline void came_about(__u8 kind, long err, const void *detail)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct touch t = {}, *found = bpf_map_lookup_elem(&pending, &key);

	if (!found || found->kind != kind)
		return;
	t = *found;
	bpf_map_delete_elem(&pending, &key);
	refuse(&t, err);
	t.detail = detail;
	report(&t, NULL, false);
}

#define AWAIT(inode, how) (maybe_watched(inode) ? await(inode, how) : 0)
#else
#define AWAIT(inode, how) (touched(inode, NULL, how, 0, NULL), 0)
#endif

#endif /* BEESTING_PENDING_H */
