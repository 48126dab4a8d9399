/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_MAPS_H
#define BEESTING_MAPS_H

/* The maps and variables. All but the constants are shared by generations. */

#include "sensor.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 22); /* set by the loader */
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1); /* set by the loader, as for the next three */
	__type(key, __u64);
	__type(value, struct watch);
} watches SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct count);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct account);
} accounts SEC(".maps");

/* Forgetting an entry makes a repeat a first touch again. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 15);
	__type(key, struct repeat_key);
	__type(value, struct repeat);
} repeats SEC(".maps");

/* By the address of the file. Forgetting one costs the end of its span. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 13);
	__type(key, __u64);
	__type(value, struct open_file);
} opens SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u32);
} exempt_cgroups SEC(".maps");

/* The last components of the tokens' paths, for symbolic links. */
#define NAME_LEN 64
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, char[NAME_LEN]);
	__type(value, __u32);
} names SEC(".maps");

/* How many names there are. */
volatile __u32 watched_names = 0;

/* Who the agent is: first by its pid namespace and pid, then for good. */
struct identity {
	__u64 ns_dev, ns_ino, start_time;
	__u32 ns_tgid, tgid;
};
volatile struct identity self = {};

volatile struct enrolment enrol = {};

/* Only programs of this generation do anything: see takeover in pin.go. */
volatile __u32 active = 0;
const volatile __u32 generation = 0;

/* What is pinned, if all of it is: see adopt.go. */
volatile __u64 build = 0;

/* When the agent was last alive, by its own word; for the one after it. */
volatile __u64 alive = 0;

/* Events lost because the ring had no room. */
volatile __u64 lost_ring_full = 0;
/* Those of them that said that a file is being copied up. */
volatile __u64 lost_copy_ups = 0;

/*
 * How many watched inodes have addresses that hash to a slot: zero, as for
 * nearly every inode there is, means that this one is not watched. Ten
 * instructions, where a look-up in the map takes a hundred.
 */
#define FILTER_BITS 20
volatile __u8 filter[1 << FILTER_BITS] = {};

const volatile bool report_exempt = false;
const volatile __u64 repeat_interval = 1000000000;

/* What of the ring is left to first touches, in bytes. */
const volatile __u64 ring_full_for_repeats = 3 << 20;

/* Chosen by the loader, see symlinks.h. */
const volatile __u64 link_seed = 0;

/* Functions that got another first argument with id mapped mounts (5.12 and later). */
const volatile bool xattr_moved = true;
const volatile bool moved = true; /* notify_change, vfs_link, vfs_unlink, inode_permission */

/* The kind of access that a system call's number stands for; by the loader. */
const volatile __u8 kind_of_syscall[512] = {};

#endif /* BEESTING_MAPS_H */
