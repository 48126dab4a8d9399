/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_TASKS_H
#define BEESTING_TASKS_H

/* Tasks, credentials and namespaces, cut down as in types.h. */

#include "types.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct ns_common {
	unsigned int inum;
};

struct mnt_namespace {
	struct ns_common ns;
};

struct pid_namespace {
	struct ns_common ns;
};

struct net {
	struct ns_common ns;
};

struct user_namespace {
	struct ns_common ns;
};

struct cgroup_namespace {
	struct ns_common ns;
};

struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
	struct net *net_ns;
	struct cgroup_namespace *cgroup_ns;
};

/* { __u32 cap[2]; } up to 6.2, the low word first: read as one number. */
typedef struct {
	__u64 val;
} kernel_cap_t;

struct cred {
	kuid_t uid;
	kgid_t gid;
	kuid_t euid;
	kgid_t egid;
	kernel_cap_t cap_effective;
	struct user_namespace *user_ns;
};

struct upid {
	int nr;
};

struct pid {
	struct upid numbers[1];
};

/* include/linux/pid_types.h; the order has been the same since 4.19. */
#define PIDTYPE_SID 3

struct signal_struct {
	struct pid *pids[4];
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
	struct file *exe_file;
};

struct fs_struct {
	struct path root;
	struct path pwd;
};

struct cgroup;

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct io_uring_task;

struct task_struct {
	unsigned int flags;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct signal_struct *signal;
	const struct cred *real_cred;
	const struct cred *cred;
	struct io_uring_task *io_uring;
	struct css_set *cgroups;
	struct mm_struct *mm;
	struct fs_struct *fs;
	struct nsproxy *nsproxy;
	char comm[16];
	__u64 start_boottime;
	kuid_t loginuid;
	unsigned int sessionid;
};

#pragma clang attribute pop

#endif /* BEESTING_TASKS_H */
