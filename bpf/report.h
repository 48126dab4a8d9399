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
	__u64 object; /* what a return is recognised by, see pending.h */
	__u64 ino;
	__u64 total;
	__u32 dev, generation, pid;
	__u32 file_flags, file_mode, watch; /* the flags of the watch */
	__u16 err;
	__u8 kind, variant, actor, told;
};

#include "repeats.h"

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
	/* First what loops most, while there is one state to verify it in. */
	add_program(e, task, d_path);
	add_ids(e, task);
	add_namespaces(e, task);
	add_ancestors(e, task);
}

/* A touch between report and tell, by the thread. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, struct touch);
} telling SEC(".maps");

static __always_inline int tell(bool d_path)
{
	__u64 key = bpf_get_current_pid_tgid();
	struct touch *t = bpf_map_lookup_elem(&telling, &key);
	struct event *e = t ? new_event(t) : NULL;
	int err = -1;

	if (e) {
		e->total = t->total;
		e->file_flags = t->file_flags;
		e->file_mode = t->file_mode;
		add_detail(e, t->detail);
		add_actor(e, d_path);
		bpf_ringbuf_submit(e, 0);
		err = 0;
	} else {
		__sync_fetch_and_add(&lost_ring_full, 1);
	}
	/* Else the next touch, if there is no room for it, would find this one. */
	bpf_map_delete_elem(&telling, &key);
	return err;
}

/*
 * Global functions, so that the verifier goes through them once a program and
 * not once for every state that the callers can be in: a twentieth of the time.
 * They can be given numbers only (up to 5.12), hence the map.
 */
#if HAVE_D_PATH
__noinline int tell_by_d_path(void)
{
	return tell(true);
}
#endif

__noinline int tell_by_walk(void)
{
	return tell(false);
}

/*
 * Counts and says whether to tell. A process's first touch of its kind is told at
 * once; later ones once in an interval, with the number there have been. What was
 * never told is found in the map by user space.
 */
static __noinline struct repeat *counted(struct touch *t, struct file *file)
{
	struct count *count = bpf_map_lookup_elem(&counts, &t->placement);
	__u64 key = bpf_get_current_pid_tgid();
	__u32 kind = t->kind;
	struct repeat *r;
	bool due;

	if (kind >= KINDS)
		return NULL;
	if (count)
		__sync_fetch_and_add(&count->seen[kind], 1);
	r = repeat_of(t, &due);
	if (!r)
		return NULL; /* no memory for it: a loss, by the counts */
	t->total = INCREMENT(&r->total);
	if (!due || (t->total > 1 && t->now - r->told < repeat_interval))
		return NULL;
	if (r->told && ring_is_full())
		return NULL; /* stays in the map; the ring is for what was never told */
	r->told = t->now;
	if (file) {
		t->file_flags = LOAD(file, f_flags);
		t->file_mode = LOAD(file, f_mode);
	}
	bpf_map_update_elem(&telling, &key, t, BPF_ANY);
	return r;
}

static __noinline void untold(struct touch *t, struct repeat *r)
{
	struct count *count = bpf_map_lookup_elem(&counts, &t->placement);
	__u32 kind = t->kind;

	r->told = 0; /* the next touch tries again, and tells of this too */
	if (count && kind < KINDS)
		__sync_fetch_and_add(&count->lost[kind], 1);
}

static __always_inline int report(struct touch *t, struct file *file, bool d_path)
{
	struct repeat *r = counted(t, file);
	int err;

	if (!r)
		return 0;
#if HAVE_D_PATH
	err = d_path ? tell_by_d_path() : tell_by_walk();
#else
	err = tell_by_walk();
#endif
	if (err)
		untold(t, r);
	else
		t->told = 1;
	return 0;
}

#endif /* BEESTING_REPORT_H */
