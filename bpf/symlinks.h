/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_SYMLINKS_H
#define BEESTING_SYMLINKS_H

/*
 * A symbolic link is made of a string; whether that leads to a token only user
 * space can find out. It is asked when the last component is a token's name.
 * Not under lockdown=confidentiality, where the string can't be read.
 *
 * Anybody may make links, and they are no touches until user space says so: a
 * name is looked for before there is an event, the same link again is told once
 * in an interval, and none may take what of the ring is kept for first touches.
 */

/* Which link it is: by whom, and a hash of its text and directory. */
struct link_key {
	__u64 start_time;
	__u64 text;
	__u32 pid, unused;
};

/* When it was told last. Forgetting an entry tells it again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct link_key);
	__type(value, __u64);
} links SEC(".maps");

/*
 * A hash of the target (FNV-1a, from a start that nobody can know, as two texts
 * with one hash would be one link), or zero if it doesn't end in a token's name.
 * In a frame of its own: there is no other place for the text.
 */
static __noinline __u64 named(const char *target)
{
	char text[DETAIL_MAX] = {}, name[NAME_LEN] = {};
	__u64 hash = link_seed;
	__u32 last = 0;

	if (bpf_probe_read_kernel_str(text, sizeof(text), target) <= 1)
		return 0;
	for (__u32 i = 0; i < DETAIL_MAX - 1; i++) {
		if (!text[i])
			break;
		hash = (hash ^ text[i]) * 0x100000001b3ULL;
		if (text[i] == '/')
			last = i + 1;
	}
	if (bpf_probe_read_kernel_str(name, sizeof(name), target + last) <= 1)
		return 0;
	return bpf_map_lookup_elem(&names, name) ? hash | 1 : 0;
}

static __noinline int linked(const char *target, struct path *dir, __u64 text)
{
	struct task_struct *task = CURRENT(), *leader = LOAD(task, group_leader);
	struct dentry *at = LOAD(dir, dentry);
	struct link_key key = {};
	struct touch t = {};
	struct event *e;
	__u64 *told;
	__u32 cut;

	t.kind = KIND_SYMLINK;
	t.now = bpf_ktime_get_boot_ns();
	key.start_time = leader ? LOAD(leader, start_boottime) : 0;
	key.pid = bpf_get_current_pid_tgid() >> 32;
	key.text = text ^ (at ? ADDRESS(at) : 0);
	told = bpf_map_lookup_elem(&links, &key);
	if (told && t.now - *told < repeat_interval)
		return 0;
	e = ring_is_full() ? NULL : new_event(&t);
	if (!e) {
		__sync_fetch_and_add(&lost_ring_full, 1);
		return 0;
	}
	bpf_map_update_elem(&links, &key, &t.now, BPF_ANY);
	e->total = 1;
	add_detail(e, target);
	add_actor(e, false);
	e->bits &= ~(CWD_REVERSED | CWD_CUT | CWD_MISSING);
	e->cwd_len = walk(e->cwd, CWD_MAX, task, dir, &cut);
	e->bits |= CWD_REVERSED | cut * CWD_CUT;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

HOOK(path_symlink)
{
	__u64 text;

	if (!may_probe || !watched_names || active != generation || is_self())
		return 0;
	text = named(ARG(ctx, 3));
	if (text)
		linked(ARG(ctx, 3), ARG(ctx, 1), text);
	return 0;
}

#endif /* BEESTING_SYMLINKS_H */
