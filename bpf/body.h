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

#include "actor.h"

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

static __always_inline void add_file(struct event *e, struct file *file)
{
	struct inode *inode = LOAD(file, f_inode);
	struct super_block *sb;

	e->file_flags = LOAD(file, f_flags);
	e->file_mode = LOAD(file, f_mode);
	if (!inode)
		return;
	sb = LOAD(inode, i_sb);
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

static __noinline int report(struct file *file, __u64 placement)
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
	add_file(e, file);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

#include "enrol.h"

#endif /* BEESTING_BODY_H */
