/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_WATCH_STORAGE_H
#define BEESTING_WATCH_STORAGE_H

/*
 * The watch hangs on the inode itself: a look-up is a few loads however many
 * inodes are watched, and it is gone with the inode. For BPF LSM programs only
 * (5.10).
 */
struct {
	__uint(type, BPF_MAP_TYPE_INODE_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct watch);
} watches SEC(".maps");

static __always_inline struct watch *watch_find(struct inode *inode)
{
	return bpf_inode_storage_get(&watches, inode, NULL, 0);
}

static __always_inline int watch_add(struct inode *inode, struct watch *w)
{
	return bpf_inode_storage_get(&watches, inode, w, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -1;
}

static __always_inline int watch_remove(struct inode *inode)
{
	return bpf_inode_storage_delete(&watches, inode);
}

#endif /* BEESTING_WATCH_STORAGE_H */
