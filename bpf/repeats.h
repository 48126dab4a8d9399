/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_REPEATS_H
#define BEESTING_REPEATS_H

/* How often a process has done the same, and whether there is room to say so. */

static __always_inline void fill_key(struct repeat_key *key, struct touch *t, __u8 kind, __u8 variant)
{
	key->placement = t->placement;
	key->start_time = t->start_time;
	key->pid = t->pid;
	key->kind = kind;
	key->variant = variant;
}

/* Counts the touch among the process's repeats; returns the entry if it is due. */
static __always_inline struct repeat *repeat_of(struct touch *t, bool *due)
{
	struct repeat_key key = {};
	struct repeat fresh = {}, *r;

	fill_key(&key, t, t->kind, t->variant);
	r = bpf_map_lookup_elem(&repeats, &key);
	if (!r) {
		bpf_map_update_elem(&repeats, &key, &fresh, BPF_NOEXIST);
		r = bpf_map_lookup_elem(&repeats, &key);
	}
	if (!r)
		return NULL;
	r->last = t->now;
	*due = r->total == 0 || t->now - r->told >= repeat_interval;
	return r;
}

/* But for what is kept for first touches. */
static __always_inline bool ring_is_full(void)
{
	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) > ring_full_for_repeats;
}

#endif /* BEESTING_REPEATS_H */
