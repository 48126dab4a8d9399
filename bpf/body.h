/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_BODY_H
#define BEESTING_BODY_H

/*
 * The body that every attach mode runs. Before including it a program brings
 *
 *   LOAD(pointer, member)      a read of kernel memory
 *   CURRENT()                  the current task
 *   exe_path(event, task, exe) fills event->exe
 *                              (all three from typed.h or probed.h)
 *   watch_find(inode), watch_add(inode, watch), watch_remove(inode)
 *                              the map of watched inodes
 *                              (from watch_storage.h or watch_hash.h)
 */

/*
 * The agent is recognised by (pid namespace, pid), which nobody else can have
 * while it lives. Works whether or not the agent runs in the host's pid
 * namespace. Returns the thread id, or 0 for everyone else.
 */
static __always_inline __u32 self_tid(void)
{
	struct bpf_pidns_info info = {};

	if (bpf_get_ns_current_pid_tgid(self_ns_dev, self_ns_ino, &info, sizeof(info)))
		return 0;
	return info.tgid == self_tgid ? info.pid : 0;
}

/*
 * FMODE_BACKING (since 6.5) and FMODE_NOACCOUNT, include/linux/fs.h: a file
 * that a file system opened for itself on behalf of one that the user opened.
 * NOACCOUNT alone marks overlay's backing files up to 6.4.
 */
#define FMODE_INTERNAL (0x2000000 | 0x20000000)

/*
 * Whether overlayfs opens the file for itself, as the backing file of one that
 * is being opened or to copy it up. For the copy it borrows the credentials of
 * whoever mounted it. The only other way for a task to open a file on borrowed
 * credentials is io_uring's personalities, so a task that has used io_uring
 * never counts: rather one event too many than a way round.
 */
static __always_inline bool opened_by_overlay(struct file *file)
{
	struct task_struct *task = CURRENT();

	if (LOAD(file, f_mode) & FMODE_INTERNAL)
		return true;
	if (bpf_core_field_exists(task->io_uring) && LOAD(task, io_uring))
		return false;
	return LOAD(task, cred) != LOAD(task, real_cred);
}

static __always_inline void add_ids(struct event *e, struct task_struct *task)
{
	const struct cred *cred = LOAD(task, real_cred);
	struct signal_struct *signal = LOAD(task, signal);
	struct pid *session;

	if (cred) {
		e->uid = LOAD(cred, uid.val);
		e->euid = LOAD(cred, euid.val);
		e->gid = LOAD(cred, gid.val);
		e->egid = LOAD(cred, egid.val);
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

	for (int i = 0; i < GENERATIONS_MAX; i++) {
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
		set = LOAD(parent, cgroups);
		if (!set || LOAD(set, dfl_cgrp) != home || LOAD(parent, tgid) == 0)
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

static __always_inline void add_program(struct event *e, struct task_struct *task)
{
	struct mm_struct *mm = LOAD(task, mm);
	struct file *exe;

	bpf_get_current_comm(e->comm, sizeof(e->comm));
	if (!mm) { /* a kernel thread has neither program nor arguments */
		e->bits |= EXE_MISSING | ARGS_MISSING;
		return;
	}
	add_args(e, mm);
	exe = LOAD(mm, exe_file);
	if (exe)
		exe_path(e, task, exe);
	else
		e->bits |= EXE_MISSING;
}

static __always_inline void add_file(struct event *e, struct file *file, struct inode *inode)
{
	struct super_block *sb = LOAD(inode, i_sb);

	e->file_flags = LOAD(file, f_flags);
	e->file_mode = LOAD(file, f_mode);
	e->inode = LOAD(inode, i_ino);
	e->generation = LOAD(inode, i_generation);
	if (sb)
		e->dev = LOAD(sb, s_dev);
}

/* The ring gives memory as it is: whatever is read by length needs no zeroes. */
static __always_inline void clear_header(struct event *e)
{
	__u64 *word = (__u64 *)e;

	for (int i = 0; i < __builtin_offsetof(struct event, comm) / sizeof(*word); i++)
		word[i] = 0;
}

static __noinline int report(struct file *file, struct inode *inode, __u64 placement)
{
	struct count *count = bpf_map_lookup_elem(&counts, &placement);
	struct task_struct *task = CURRENT();
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	struct event *e;

	if (count)
		__sync_fetch_and_add(&count->seen, 1);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e) {
		__sync_fetch_and_add(&lost_ring_full, 1);
		if (count)
			__sync_fetch_and_add(&count->lost, 1);
		return 0;
	}
	clear_header(e);
	e->version = EVENT_VERSION;
	e->kind = KIND_OPEN;
	e->time = bpf_ktime_get_boot_ns();
	e->placement = placement;
	e->pid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->cgroup_id = bpf_get_current_cgroup_id();
	add_ids(e, task);
	add_ancestors(e, task);
	add_program(e, task);
	add_file(e, file, inode);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#include "enrol.h"

#endif /* BEESTING_BODY_H */
