/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_REPORT_H
#define BEESTING_REPORT_H

/* What is done about a touch: counted always, told when it is new or due. */

#include "watch.h"
#include "actor.h"

/* A touch on its way to being counted; zero unless a hook says otherwise. */
struct touch {
	__u64 placement;
	__u64 start_time;
	__u64 now;
	__u64 handle, open_time, reads, writes;
	const void *detail;
	__u64 ino;
	__u32 dev, generation, pid, unused;
	__u16 err;
	__u8 kind, variant, actor, told;
};

/* The ring gives memory as it is: whatever is read by length needs no zeroes. */
static __always_inline void clear_header(struct event *e)
{
	__u64 *word = (__u64 *)e;

	for (int i = 0; i < __builtin_offsetof(struct event, comm) / sizeof(*word); i++)
		word[i] = 0;
}

static __always_inline struct event *new_event(struct touch *t)
{
	struct event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return NULL;
	clear_header(e);
	e->version = LAYOUT;
	e->kind = t->kind;
	e->variant = t->variant;
	e->actor = t->actor;
	e->err = t->err;
	e->time = t->now;
	e->placement = t->placement;
	e->handle = t->handle;
	e->inode = t->ino;
	e->dev = t->dev;
	e->generation = t->generation;
	return e;
}

static __always_inline void add_actor(struct event *e, bool d_path)
{
	struct task_struct *task = CURRENT();
	__u64 pid_tgid = bpf_get_current_pid_tgid();

	e->pid = pid_tgid >> 32;
	e->tid = (__u32)pid_tgid;
	e->cgroup_id = bpf_get_current_cgroup_id();
	add_ids(e, task);
	add_namespaces(e, task);
	add_ancestors(e, task);
	add_program(e, task, d_path);
}

/* Tells of a touch, whose process has come to `total` of its kind by now. */
static __noinline int tell(struct touch *t, struct file *file, __u64 total, bool d_path)
{
	struct event *e = new_event(t);

	if (!e) {
		__sync_fetch_and_add(&lost_ring_full, 1);
		return -1;
	}
	e->total = total;
	add_actor(e, d_path);
	if (file) {
		e->file_flags = LOAD(file, f_flags);
		e->file_mode = LOAD(file, f_mode);
	}
	add_detail(e, t->detail);
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* Counts the touch among the process's repeats; returns the entry if it is due. */
static __always_inline struct repeat *repeat_of(struct touch *t, bool *due)
{
	struct repeat_key key = {};
	struct repeat fresh = {}, *r;

	key.placement = t->placement;
	key.start_time = t->start_time;
	key.pid = t->pid;
	key.kind = t->kind;
	key.variant = t->variant;
	r = bpf_map_lookup_elem(&repeats, &key);
	if (!r) {
		bpf_map_update_elem(&repeats, &key, &fresh, BPF_NOEXIST);
		r = bpf_map_lookup_elem(&repeats, &key);
	}
	if (!r) { /* no memory: tell each */
		*due = true;
		return NULL;
	}
	r->last = t->now;
	*due = r->total == 0 || t->now - r->told >= repeat_interval;
	return r;
}

/*
 * Counts and tells. A process's first touch of its kind is told at once; later
 * ones once in an interval, with the number there have been. What was never
 * told is found in the map by user space.
 */
static __noinline int report(struct touch *t, struct file *file, bool d_path)
{
	struct count *count = bpf_map_lookup_elem(&counts, &t->placement);
	struct repeat *r;
	__u64 total = 1;
	__u32 kind = t->kind;
	bool due;

	if (kind >= KINDS)
		return 0;
	if (count)
		__sync_fetch_and_add(&count->seen[kind], 1);
	r = repeat_of(t, &due);
	if (r)
		total = __sync_fetch_and_add(&r->total, 1) + 1;
	if (r && (!due || total > 1)) {
		if (!due || t->now - r->told < repeat_interval)
			return 0;
		if (bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > ring_full_for_repeats)
			return 0; /* stays in the map; the ring is for first touches */
	}
	if (r)
		r->told = t->now;
	if (tell(t, file, total, d_path)) {
		if (r)
			r->told = 0; /* the next touch tries again, and tells of this too */
		kind = t->kind; /* the verifier has forgotten its bound */
		if (count && kind < KINDS)
			__sync_fetch_and_add(&count->lost[kind], 1);
		return 0;
	}
	t->told = 1;
	return 0;
}

#endif /* BEESTING_REPORT_H */
