/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_ACTOR_H
#define BEESTING_ACTOR_H

/* Who did it: the parts of the event that come from the task. */

#include "paths.h"


static __always_inline void add_ids(struct event *e, struct task_struct *task)
{
	const struct cred *cred = LOAD(task, real_cred);
	struct signal_struct *signal = LOAD(task, signal);
	struct pid *session;

	if (cred) {
		struct user_namespace *user = LOAD(cred, user_ns);

		e->uid = LOAD(cred, uid.val);
		e->euid = LOAD(cred, euid.val);
		e->gid = LOAD(cred, gid.val);
		e->egid = LOAD(cred, egid.val);
		e->capabilities = LOAD_WORD(cred, cap_effective);
		if (user)
			e->user_ns = LOAD(user, ns.inum);
	}
	e->login_uid = UNSET;
	e->audit_session = UNSET;
	if (bpf_core_field_exists(task->loginuid))
		e->login_uid = LOAD(task, loginuid.val);
	if (bpf_core_field_exists(task->sessionid))
		e->audit_session = LOAD(task, sessionid);
	if (!signal)
		return;
	session = LOAD(signal, pids[PIDTYPE_SID]);
	if (session)
		e->session_leader = LOAD(session, numbers[0].nr);
}

/* The pid namespace is that of the children: the task's own, but for unshare. */
static __always_inline void add_namespaces(struct event *e, struct task_struct *task)
{
	struct nsproxy *ns = LOAD(task, nsproxy);
	struct mnt_namespace *mnt;
	struct pid_namespace *pid;
	struct net *net;
	struct cgroup_namespace *cgroup;

	if (!ns) /* exiting */
		return;
	mnt = LOAD(ns, mnt_ns);
	pid = LOAD(ns, pid_ns_for_children);
	net = LOAD(ns, net_ns);
	cgroup = LOAD(ns, cgroup_ns);
	if (mnt)
		e->mnt_ns = LOAD(mnt, ns.inum);
	if (pid)
		e->pid_ns = LOAD(pid, ns.inum);
	if (net)
		e->net_ns = LOAD(net, ns.inum);
	if (cgroup)
		e->cgroup_ns = LOAD(cgroup, ns.inum);
}

/*
 * The entry process is the topmost ancestor in the task's own cgroup: a
 * container's first process, or the one that an exec brought in, whose parent
 * is the runtime's shim and lives elsewhere.
 */
static __always_inline void add_ancestors(struct event *e, struct task_struct *task)
{
	struct task_struct *t = LOAD(task, group_leader), *parent;
	struct cgroup *home = NULL;
	struct css_set *set;

	if (!t)
		return;
	e->start_time = LOAD(t, start_boottime);
	e->entry_pid = LOAD(t, tgid);
	e->entry_start_time = e->start_time;
	set = LOAD(t, cgroups);
	if (set)
		home = LOAD(set, dfl_cgrp);

	for (__u32 i = 0; i < GENERATIONS_MAX; i++) {
		parent = LOAD(t, real_parent);
		if (!parent)
			return;
		parent = LOAD(parent, group_leader);
		if (!parent)
			return;
		if (i == 0) {
			e->parent_pid = LOAD(parent, tgid);
			e->parent_start_time = LOAD(parent, start_boottime);
		}
		if (LOAD(parent, tgid) == 0)
			return;
		if (i < ANCESTORS_MAX) {
			add_ancestor(&e->ancestor[i], parent);
			e->ancestors = i + 1;
		}
		set = LOAD(parent, cgroups);
		if (!set || LOAD(set, dfl_cgrp) != home)
			return;
		e->entry_pid = LOAD(parent, tgid);
		e->entry_start_time = LOAD(parent, start_boottime);
		t = parent;
	}
}

/*
 * The arguments lie in user memory. The program may not fault pages in, but
 * exec has just written these; only swapping takes them away.
 */
static __always_inline void add_args(struct event *e, struct mm_struct *mm)
{
	unsigned long start = LOAD(mm, arg_start);
	__u64 len = LOAD(mm, arg_end) - start;

	if (!may_probe) {
		e->bits |= ARGS_MISSING;
		return;
	}
	if (len > ARGS_MAX) {
		len = ARGS_MAX;
		e->bits |= ARGS_CUT;
	}
	if (bpf_probe_read_user(e->args, len, (void *)start)) {
		e->bits |= ARGS_MISSING;
		len = 0;
	}
	e->args_len = len;
}

/* Whether the hook may call bpf_d_path; a constant to the verifier. */
static __always_inline void add_program(struct event *e, struct task_struct *task, bool d_path)
{
	struct mm_struct *mm = LOAD(task, mm);
	struct file *exe;

	bpf_get_current_comm(e->comm, sizeof(e->comm));
	if (!mm) { /* a kernel thread has neither program nor arguments */
		e->bits |= EXE_MISSING | ARGS_MISSING | CWD_MISSING;
		return;
	}
	add_cwd(e, task, d_path);
	add_args(e, mm);
	exe = LOAD(mm, exe_file);
	if (exe)
		add_exe(e, task, exe, d_path);
	else
		e->bits |= EXE_MISSING;
}

#endif /* BEESTING_ACTOR_H */
