/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_TYPES_H
#define BEESTING_TYPES_H

/*
 * The kernel's types, cut down to the fields that are read here. CO-RE finds
 * the real offsets at load time by name, so neither order nor completeness
 * matters; a whole vmlinux.h would be 3 MB of what nobody reviews.
 */

#include <stdbool.h>

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

/* From include/uapi/linux/bpf.h, whose own includes need an architecture. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_RB_AVAIL_DATA = 0,
};

struct bpf_pidns_info {
	__u32 pid;
	__u32 tgid;
};

#ifndef NULL
#define NULL ((void *)0)
#endif

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* The arguments' registers; the names are those of the kernel's own. */
struct pt_regs {
	unsigned long cx, dx, si, di, orig_ax;
};

struct user_pt_regs {
	__u64 regs[31];
};

struct list_head {
	struct list_head *next;
};

struct qstr {
	const unsigned char *name;
};

struct hlist_bl_node {
	struct hlist_bl_node **pprev;
};

struct inode;

struct dentry {
	struct hlist_bl_node d_hash;
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
};

struct vfsmount {
	struct dentry *mnt_root;
};

struct mount {
	struct mount *mnt_parent;
	struct dentry *mnt_mountpoint;
	struct vfsmount mnt;
};

struct path {
	struct vfsmount *mnt;
	struct dentry *dentry;
};

struct super_block {
	__u32 s_dev;
};

struct file_lock_context {
	struct list_head flc_posix;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	__u32 i_generation;
	struct file_lock_context *i_flctx;
};

struct file {
	struct inode *f_inode;
	unsigned int f_flags;
	unsigned int f_mode;
	struct path f_path;
};

/* Since 6.9 the owner and the file are in file_lock_core. */
struct file_lock_core {
	void *flc_owner;
	struct file *flc_file;
};

struct file_lock {
	struct file_lock_core c;
};

struct file_lock___old {
	void *fl_owner;
	struct file *fl_file;
};

struct iattr {
	unsigned int ia_valid;
};

struct renamedata {
	struct dentry *old_dentry;
	struct dentry *new_dentry;
};

#pragma clang attribute pop

#define __VMLINUX_H__ /* the kernel's register names, not user space's */
#include <bpf/bpf_tracing.h>

#endif /* BEESTING_TYPES_H */
