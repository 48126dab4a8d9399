/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_FILES_H
#define BEESTING_FILES_H

/* Open files of watched inodes, from after the open to the last close. */

#include "opens.h"

#define MAY_WRITE 0x2
#define MAY_READ 0x4

static __always_inline bool is_openers(struct open_file *f)
{
	struct task_struct *task = CURRENT(), *leader;

	if (f->pid != bpf_get_current_pid_tgid() >> 32)
		return false;
	leader = LOAD(task, group_leader);
	return leader && LOAD(leader, start_boottime) == f->start_time;
}

/*
 * Whether the process has opened the placement. Where closes aren't seen, the map
 * of open files fills with those that are closed long since, and forgets others.
 */
static __noinline bool has_opened(struct touch *t)
{
	struct repeat_key key = {};

	fill_key(&key, t, KIND_OPEN, VARIANT_READ);
	if (bpf_map_lookup_elem(&repeats, &key))
		return true;
	key.variant = VARIANT_WRITE;
	return bpf_map_lookup_elem(&repeats, &key) != NULL;
}

/* A read or write is part of the open, unless another process opened the file. */
static __noinline int used(struct inode *inode, struct file *file, int mask)
{
	__u64 key = (__u64)file;
	struct open_file *f = bpf_map_lookup_elem(&opens, &key);
	struct open_file fresh = {};
	struct touch t = {};

	if (!is_active())
		return 0;
	if (f && is_openers(f)) {
		if (mask & MAY_WRITE)
			__sync_fetch_and_add(&f->writes, 1);
		else
			__sync_fetch_and_add(&f->reads, 1);
		return 0;
	}
	if (!counts_as(&t, inode, file, KIND_READ + ((__u32)mask / MAY_WRITE & 1) * (WRITING + 1)))
		return 0;
	if (!f && has_opened(&t) && !close_is_seen(&t, inode))
		return 0;
	report(&t, file, USE_D_PATH);
	if (t.kind == KIND_LIST && !f) {
		/* The directory's next entries are of the same listing. */
		fresh.pid = t.pid;
		fresh.start_time = t.start_time;
		fresh.kind = KIND_LIST;
		bpf_map_update_elem(&opens, &key, &fresh, BPF_ANY);
	}
	return 0;
}

static __always_inline void on_use(struct file *file, int mask)
{
	struct inode *inode = LOAD(file, f_inode);

	if (maybe_watched(inode) && mask & (MAY_READ | MAY_WRITE))
		used(inode, file, mask);
}

/* Mapping is an access of its own; that of a program is part of its execution. */
static __noinline int mapped(struct inode *inode, struct file *file)
{
	__u64 key = (__u64)file;
	struct open_file *f = bpf_map_lookup_elem(&opens, &key);
	struct touch t = {};

	if (f && f->kind == KIND_EXEC && is_openers(f))
		return 0;
	if (!counts_as(&t, inode, file, KIND_MMAP))
		return 0;
	return report(&t, file, LSM_D_PATH);
}

static __always_inline void on_mmap(struct file *file)
{
	struct inode *inode;

	if (!file) /* anonymous memory */
		return;
	inode = LOAD(file, f_inode);
	if (maybe_watched(inode))
		mapped(inode, file);
}

/* The file has been closed for the last time. */
static __noinline int closed(struct file *file)
{
	__u64 key = (__u64)file;
	struct open_file *f = bpf_map_lookup_elem(&opens, &key);
	struct touch t = {};
	struct event *e;

	if (!f || !is_active())
		return 0;
	if (f->counted)
		hold(f, -1);
	/* An open that failed after the hook was never closed. */
	if (f->told && f->inode == (__u64)LOAD(file, f_inode) && !ring_is_full()) {
		t.kind = KIND_CLOSE;
		t.placement = f->placement;
		t.handle = f->time << 8 | (f->pid & 0xff);
		t.now = bpf_ktime_get_boot_ns();
		e = new_event(&t);
		if (e) {
			e->pid = f->pid;
			e->start_time = f->start_time;
			e->open_time = f->time;
			e->reads = f->reads;
			e->writes = f->writes;
			bpf_ringbuf_submit(e, 0);
		} /* else the open ends unseen, which costs no touch */
	}
	bpf_map_delete_elem(&opens, &key);
	return 0;
}

#endif /* BEESTING_FILES_H */
