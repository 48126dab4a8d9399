/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_ACTOR_H
#define BEESTING_ACTOR_H

/* Who did it: the parts of the event that come from the task. */

#include "paths.h"


static __always_inline void add_ancestor(struct ancestor *a, struct task_struct *task)
{
	a->pid = FETCH(task, tgid);
	a->unused = 0;
	a->start_time = FETCH(task, start_boottime);
	copy_comm(a->comm, task);
}

static __always_inline void add_ids(struct event *e, struct task_struct *task)
{
	const struct cred *cred = FETCH(task, real_cred);
	struct signal_struct *signal = FETCH(task, signal);
	struct pid *session;

	if (cred) {
		struct user_namespace *user = FETCH(cred, user_ns);

		e->uid = FETCH(cred, uid.val);
		e->euid = FETCH(cred, euid.val);
		e->gid = FETCH(cred, gid.val);
		e->egid = FETCH(cred, egid.val);
		e->capabilities = FETCH_WORD(cred, cap_effective);
		if (user)
			e->user_ns = FETCH(user, ns.inum);
	}
	e->login_uid = UNSET;
	e->audit_session = UNSET;
	if (bpf_core_field_exists(task->loginuid))
		e->login_uid = FETCH(task, loginuid.val);
	if (bpf_core_field_exists(task->sessionid))
		e->audit_session = FETCH(task, sessionid);
	if (!signal)
		return;
	session = FETCH(signal, pids[PIDTYPE_SID]);
	if (session)
		e->session_leader = FETCH(session, numbers[0].nr);
}

/* The pid namespace is that of the children: the task's own, but for unshare. */
static __always_inline void add_namespaces(struct event *e, struct task_struct *task)
{
	struct nsproxy *ns = FETCH(task, nsproxy);
	struct mnt_namespace *mnt;
	struct pid_namespace *pid;
	struct net *net;
	struct cgroup_namespace *cgroup;

	if (!ns) /* exiting */
		return;
	mnt = FETCH(ns, mnt_ns);
	pid = FETCH(ns, pid_ns_for_children);
	net = FETCH(ns, net_ns);
	cgroup = FETCH(ns, cgroup_ns);
	if (mnt)
		e->mnt_ns = FETCH(mnt, ns.inum);
	if (pid)
		e->pid_ns = FETCH(pid, ns.inum);
	if (net)
		e->net_ns = FETCH(net, ns.inum);
	if (cgroup)
		e->cgroup_ns = FETCH(cgroup, ns.inum);
}

/*
 * The entry process is the topmost ancestor in the task's own cgroup: a
 * container's first process, or the one that an exec brought in, whose parent
 * is the runtime's shim and lives elsewhere.
 */
static __always_inline void add_ancestors(struct event *e, struct task_struct *task)
{
	struct task_struct *t = FETCH(task, group_leader), *parent;
	struct cgroup *home = NULL;
	struct css_set *set;

	if (!t)
		return;
	e->start_time = FETCH(t, start_boottime);
	e->entry_pid = FETCH(t, tgid);
	e->entry_start_time = e->start_time;
	set = FETCH(t, cgroups);
	if (set)
		home = FETCH(set, dfl_cgrp);

	for (__u32 i = 0; i < GENERATIONS_MAX; i++) {
		parent = FETCH(t, real_parent);
		if (!parent)
			return;
		parent = FETCH(parent, group_leader);
		if (!parent)
			return;
		if (i == 0) {
			e->parent_pid = FETCH(parent, tgid);
			e->parent_start_time = FETCH(parent, start_boottime);
		}
		if (FETCH(parent, tgid) == 0)
			return;
		if (i < ANCESTORS_MAX) {
			add_ancestor(&e->ancestor[i], parent);
			e->ancestors = i + 1;
		}
		set = FETCH(parent, cgroups);
		if (!set || FETCH(set, dfl_cgrp) != home)
			return;
		e->entry_pid = FETCH(parent, tgid);
		e->entry_start_time = FETCH(parent, start_boottime);
		t = parent;
	}
}

/*
 * The arguments lie in user memory. The program may not fault pages in, but
 * exec has just written these; only swapping takes them away.
 */
static __always_inline void add_args(struct event *e, struct mm_struct *mm)
{
	unsigned long start = FETCH(mm, arg_start);
	__u64 len = FETCH(mm, arg_end) - start;

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
