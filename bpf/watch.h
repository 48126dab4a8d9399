/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_WATCH_H
#define BEESTING_WATCH_H

/* The map of watched inodes, the filter before it, and enrolment. */

#include "overlay.h"

static __always_inline __u64 hash_of(struct inode *inode)
{
	/* 2^64 / golden ratio: spreads the addresses of one slab. */
	return ADDRESS(inode) * 0x9e3779b97f4a7c15ULL;
}

static __always_inline __u32 slot_of(struct inode *inode)
{
	return hash_of(inode) >> (64 - FILTER_BITS);
}

/* By other bits: with 100,000 watched, one in ten inodes has the first by chance. */
static __always_inline __u32 second_slot_of(struct inode *inode)
{
	return hash_of(inode) >> (64 - 2 * FILTER_BITS) & ((1 << FILTER_BITS) - 1);
}

/* What every hook runs, for every inode there is. */
static __always_inline bool maybe_watched(struct inode *inode)
{
	return inode && filter[slot_of(inode)] && filter[second_slot_of(inode)];
}

/* One enrolment at a time, so nobody else changes the filter. Full slots stay so. */
static __always_inline void filter_add(__u32 slot)
{
	if (filter[slot] != 255)
		filter[slot]++;
}

static __always_inline void filter_remove(__u32 slot)
{
	if (filter[slot] && filter[slot] != 255)
		filter[slot]--;
}

static __always_inline __u32 device_of(struct inode *inode)
{
	struct super_block *sb = LOAD(inode, i_sb);

	return sb ? LOAD(sb, s_dev) : 0;
}

static __always_inline struct watch *watch_find(struct inode *inode)
{
	__u64 key = (__u64)inode;
	struct watch *w = bpf_map_lookup_elem(&watches, &key);

	if (!w || !inode || w->ino != LOAD(inode, i_ino) || w->dev != device_of(inode) ||
	    w->generation != LOAD(inode, i_generation))
		return NULL;
	return w;
}

static __always_inline bool is_self(void)
{
	struct task_struct *task = CURRENT(), *leader;

	if (bpf_get_current_pid_tgid() >> 32 != self.tgid || !self.tgid)
		return false;
	leader = LOAD(task, group_leader);
	return leader && LOAD(leader, start_boottime) == self.start_time;
}

static __always_inline int watch_add(struct inode *inode, struct file *file)
{
	__u64 key = (__u64)inode;
	struct watch w = {};

	w.placement = enrol.placement;
	w.ino = LOAD(inode, i_ino);
	w.dev = device_of(inode);
	w.generation = LOAD(inode, i_generation);
	w.flags = enrol.flags;
	note_overlay(&w, file);
	w.slot = slot_of(inode);
	w.second_slot = second_slot_of(inode);
	/* A stale entry of an inode that is gone is overwritten. */
	if (bpf_map_update_elem(&watches, &key, &w, BPF_ANY))
		return -1;
	/* Anew: the verifier has to see the bounds. */
	filter_add(slot_of(inode));
	filter_add(second_slot_of(inode));
	return 0;
}

static __always_inline void watch_remove(struct inode *inode)
{
	__u64 key = (__u64)inode;

	if (bpf_map_delete_elem(&watches, &key))
		return;
	filter_remove(slot_of(inode));
	filter_remove(second_slot_of(inode));
	enrol.done++;
}

/* Notes in the watch whether the agent's lock is there. */
static __always_inline void follow(struct watch *w, bool follows)
{
	w->flags = follows ? w->flags | WATCH_FOLLOWED : w->flags & ~WATCH_FOLLOWED;
}

/* A file that is watched already: since before this agent's time, or copied up. */
static __always_inline void watch_again(struct watch *w, struct file *file)
{
	struct inode *inode = LOAD(file, f_inode);

	/* kprobe has other slots than the modes with types: see ADDRESS. */
	if (w->slot != slot_of(inode) || w->second_slot != second_slot_of(inode)) {
		w->slot = slot_of(inode);
		w->second_slot = second_slot_of(inode);
		filter_add(slot_of(inode));
		filter_add(second_slot_of(inode));
	}
	if (w->flags & WATCH_BACKING) /* the overlay may have been mounted anew */
		note_overlay(w, file);
	if (!(enrol.flags & (WATCH_COVERED | WATCH_DIRECTORY))) /* not the file itself */
		follow(w, enrol.flags & WATCH_FOLLOWED);
	enrol.done++;
}

/* The agent's thread has opened the file whose inode this is. */
static __noinline int enrol_inode(struct inode *inode, struct file *file)
{
	struct bpf_pidns_info info = {};
	struct task_struct *task = CURRENT();
	struct task_struct *leader = LOAD(task, group_leader);
	struct watch *w;

	if (bpf_get_ns_current_pid_tgid(self.ns_dev, self.ns_ino, &info, sizeof(info)))
		return 0;
	/* A stranger's pid is zero when the variable has just been cleared. */
	if (info.tgid != self.ns_tgid || !info.pid || info.pid != enrol.tid)
		return 0;
	if (enrol.op == ENROL_CLAIM) {
		self.tgid = bpf_get_current_pid_tgid() >> 32;
		self.start_time = leader ? LOAD(leader, start_boottime) : 0;
		enrol.done++;
		return 0;
	}
	w = watch_find(inode);
	if (enrol.op != ENROL_ADD) {
		if (!w || w->placement != enrol.placement)
			return 0;
		if (enrol.op == ENROL_REMOVE) {
			watch_remove(inode);
			return 0;
		}
		follow(w, enrol.op == ENROL_FOLLOW);
		enrol.done++;
		return 0;
	}
	if (w && w->placement != enrol.placement)
		enrol.conflict = w->placement ? w->placement : 1;
	else if (w)
		watch_again(w, file);
	else if (watch_add(inode, file))
		enrol.failed++;
	else {
		enrol.done++;
		enrol.added++;
	}
	return 0;
}

#endif /* BEESTING_WATCH_H */
