/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One way to touch a file is one CASE: its line says what it does and what the
 * sensor has to say of it. `touch --list` prints them all for the harness.
 *
 * The kinds are words separated by blanks:
 *
 *	kind[/kind][!ERRNO][@child][xN][^recon]
 *
 * kind/kind    the second where the rung doesn't know the first
 * !ERRNO       the touch is refused, and the event says so
 * @child       by a process that the toucher forked; else by the toucher
 * xN           N times; once without it
 * ^recon       only the recon tier sees this one, by the case's own rule
 *
 * "" means that nothing may be told. A kind that the rung's Coverage lists as
 * unseen is not expected and may not come.
 */
#ifndef TOUCH_H
#define TOUCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

struct touch {
	const char *name, *group, *what;
	/* kinds hold for both planting forms unless overlay is set. */
	const char *kinds, *overlay;
	/* fanotify: what that rung tells instead, by its own Coverage's notes. */
	const char *fanotify;
	/* fanotify_since: before this kernel, that rung tells nothing; cant says it. */
	const char *fanotify_since;
	/* lsm, kprobe: what that rung tells instead. */
	const char *lsm, *kprobe, *kprobe_overlay;
	/* old and old_overlay: what is told before the kernel `before`. */
	const char *before, *old, *old_overlay;
	/* cant says why nothing, or less, is told: part of the documentation. */
	const char *cant;
	/* detail is what Event.Detail has to be, "" = not judged. */
	const char *detail;
	/* since is the first kernel with what the case needs, "5.13". */
	const char *since;
	/* only: "bind" or "overlay", where the other form has no such thing. */
	const char *only;
	/* content of the token: "elf" (this program) or "script"; else a line. */
	const char *content;
	/* mode of the token, 0755 if zero. It belongs to user 1000, or to root. */
	unsigned int mode, owned_by_root;
	/* root: the toucher is root; else it is user 1000. */
	unsigned int root;
	/* uid is who touches where that is neither of the two. */
	unsigned int uid;
	/* reads and writes are what the end of the open has to count; 0 = not judged. */
	unsigned int reads, writes;
	/* inherit: descriptor 3 is the token, opened before it was watched. */
	unsigned int inherit;
	/* again: before this kernel it may ask once more than is expected; that is told
	 * too, and counts as in part. */
	const char *again;
	/* hardlink: the token has a second name, in hard. */
	unsigned int hardlink;
	/* no_end: the end of the open may be missing. */
	unsigned int no_end;
	/* rw: the bind mount is writable; else it is read-only, as the agent plants. */
	unsigned int rw;
	/* host: touches what the host has. */
	unsigned int host;
	/* directory: the token's directory is watched too. */
	unsigned int directory;
	/* lower: the token lies in the overlay's lower layer. host is the file
	 * there, or with 2 where the copy will be that a write makes. */
	unsigned int lower;
	/* reflink: nothing is told where the file system shares no extents, which
	 * tmpfs and ext4 don't; cant says so. */
	unsigned int reflink;
	void (*run)(void);
};

#define CASE(id, kinds_, what_, ...)                                             \
	static void run_##id(void);                                              \
	static const struct touch touch_##id = {                                 \
		.name = #id, .group = __FILE__, .what = what_, .kinds = kinds_,  \
		.run = run_##id, ##__VA_ARGS__                                   \
	};                                                                       \
	static const struct touch *const entry_##id                              \
		__attribute__((section("touches"), used)) = &touch_##id;         \
	static void run_##id(void)

/* token is the file to touch, dir its directory and name its last component;
 * scratch is an empty directory on the same mount as dir; host is the file as
 * the host has it, below the bind mount or in the overlay's upper directory;
 * hard is a hard link to it. */
extern const char *token, *dir, *name, *scratch, *host, *hard;
/* overlay: the token lies in an overlay, else it is bind-mounted. */
extern int overlay;
extern char **environ;

/* in returns dirname/basename in a buffer of its own. */
const char *in(const char *dirname, const char *basename);

void die(const char *file, int line, const char *what, long r);

/* OK: the call succeeds. REFUSED: it fails with this error. EITHER: it succeeds
 * or fails with one of these two, which the kernel and the file system decide. */
#define OK(call)                                                                 \
	({                                                                       \
		errno = 0;                                                       \
		long r_ = (long)(call);                                          \
		if (r_ < 0)                                                      \
			die(__FILE__, __LINE__, #call, r_);                      \
		r_;                                                              \
	})
#define REFUSED(err, call)                                                       \
	({                                                                       \
		errno = 0;                                                       \
		long r_ = (long)(call);                                          \
		if (r_ >= 0 || errno != (err))                                   \
			die(__FILE__, __LINE__, #call, r_);                      \
	})
#define EITHER(err1, err2, call)                                                 \
	({                                                                       \
		errno = 0;                                                       \
		long r_ = (long)(call);                                          \
		if (r_ < 0 && errno != (err1) && errno != (err2))                \
			die(__FILE__, __LINE__, #call, r_);                      \
		r_;                                                              \
	})

/* child runs f in a forked process and waits for it. */
void child(void (*f)(void));
/* file makes a file with some bytes and returns its path. */
const char *file(const char *dirname, const char *basename);
/* sensor_reads stops this process until the harness has read what the sensor
 * has to tell so far, as an agent does all the time, and has found the copies of
 * files that were copied up. */
void sensor_reads(void);
/* own_mounts moves into a mount namespace that ends with the process. */
void own_mounts(void);

/* What glibc 2.36 has no names for; these numbers are the same everywhere. */
#define NR_open_tree 428
#define NR_move_mount 429
#define NR_pidfd_open 434
#define NR_openat2 437
#define NR_pidfd_getfd 438
#define NR_faccessat2 439
#define NR_mount_setattr 442
#define NR_landlock_create_ruleset 444
#define NR_landlock_restrict_self 446
#define NR_cachestat 451
#define NR_fchmodat2 452
#define NR_setxattrat 463
#define NR_getxattrat 464
#define NR_listxattrat 465
#define NR_removexattrat 466
#define NR_open_tree_attr 467
#define NR_file_getattr 468
#define NR_file_setattr 469

struct how {
	uint64_t flags, mode, resolve;
};

#endif
