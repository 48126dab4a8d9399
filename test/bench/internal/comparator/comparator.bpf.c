//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
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
};

#ifndef NULL
#define NULL ((void *)0)
#endif

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/*
 * What the sensor is measured against: the least that any BPF program costs at
 * its hooks, and the ways of others.
 */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* The registers of the first two arguments; the names are the kernel's own. */
struct pt_regs {
	unsigned long di, si;
};

struct user_pt_regs {
	__u64 regs[31];
};

struct super_block {
	__u32 s_dev;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
};

struct file {
	struct inode *f_inode;
};

#pragma clang attribute pop

#define __VMLINUX_H__ /* the kernel's register names, not user space's */
#include <bpf/bpf_tracing.h>

/*
 * One for each kind of operation that is measured: what is attached at exec
 * only says nothing about a stat.
 */
#define EMPTY(hook) \
	SEC("lsm/" #hook) \
	int empty_##hook(void *ctx) \
	{ \
		return 0; \
	}

EMPTY(file_open)
EMPTY(inode_getattr)
EMPTY(file_permission)
EMPTY(mmap_file)
EMPTY(bprm_check_security)

/* What stat(2) prints of a file, padding and all. */
struct key {
	__u64 ino;
	__u32 dev;
	__u32 zero;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set by the loader */
	__type(key, struct key);
	__type(value, __u64);
} watched SEC(".maps");

__u64 seen = 0;

/* Since 5.12 inode_permission takes the user namespace or id map first. */
const volatile bool inode_is_second = false;

static __always_inline void look_up(struct inode *inode)
{
	struct key key = {};

	key.ino = BPF_CORE_READ(inode, i_ino);
	key.dev = BPF_CORE_READ(inode, i_sb, s_dev);
	if (bpf_map_lookup_elem(&watched, &key))
		__sync_fetch_and_add(&seen, 1);
}

/* The first proof of concept. */
SEC("kprobe/security_file_open")
int BPF_KPROBE(by_number, struct file *file)
{
	look_up(BPF_CORE_READ(file, f_inode));
	return 0;
}

/* Kive's way: called for every directory of a path, too. */
SEC("kprobe/inode_permission")
int BPF_KPROBE(by_permission, void *first, void *second)
{
	look_up(inode_is_second ? second : first);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
