/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_ENROLMENT_H
#define BEESTING_ENROLMENT_H

/*
 * Enrolment. The key of a watch has to be the inode that the hooks will be
 * given, and no system call prints that: st_dev differs from s_dev on btrfs
 * and overlayfs, and an overlay file is two inodes. So the agent opens the
 * file while `enrol` names its thread, and the program takes down every inode
 * that this open passes.
 */
#define ENROL_ADD 1
#define ENROL_REMOVE 2
#define ENROL_CLAIM 3 /* the thread belongs to the agent from now on */
#define ENROL_FOLLOW 4 /* set WATCH_FOLLOWED */
#define ENROL_UNFOLLOW 5

struct enrolment {
	__u64 placement;
	__u64 conflict; /* out: the placement that watches the inode already */
	__u32 tid;	/* as seen in the agent's pid namespace; 0: nobody enrols */
	__u32 op;
	__u32 flags;
	__u32 done;   /* out: inodes added, found or removed */
	__u32 failed; /* out: inodes for which the map had no room */
	__u32 added;  /* out: of those done, the inodes that were not watched before */
};

#endif /* BEESTING_ENROLMENT_H */
