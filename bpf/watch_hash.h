/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_WATCH_HASH_H
#define BEESTING_WATCH_HASH_H

/*
 * The key is the address of the inode. The agent keeps every watched file open,
 * so that the address can't be given to another inode; unlike (device, inode
 * number) it is right on every file system.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set by the loader */
	__type(key, __u64);
	__type(value, struct watch);
} watches SEC(".maps");

static __always_inline struct watch *watch_find(struct inode *inode)
{
	__u64 key = (__u64)inode;

	return bpf_map_lookup_elem(&watches, &key);
}

static __always_inline int watch_add(struct inode *inode, struct watch *w)
{
	__u64 key = (__u64)inode;

	return bpf_map_update_elem(&watches, &key, w, BPF_NOEXIST);
}

static __always_inline int watch_remove(struct inode *inode)
{
	__u64 key = (__u64)inode;

	return bpf_map_delete_elem(&watches, &key);
}

#endif /* BEESTING_WATCH_HASH_H */
