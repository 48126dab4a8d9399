/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel refuses. */
#include "touch.h"
#include <sys/prctl.h>
#include <sys/xattr.h>
#include <sys/file.h>

CASE(refused_open, "open!EACCES^recon", "open(2) against the file's mode", .owned_by_root = 1, .mode = 0600) { REFUSED(EACCES, open(token, O_RDONLY)); }
CASE(refused_write, "open!EACCES^recon", "open(2) for writing against the file's mode", .owned_by_root = 1) { REFUSED(EACCES, open(token, O_WRONLY)); }
CASE(refused_many, "open!EACCES^recon x50", "fifty of them, coalesced", .owned_by_root = 1, .mode = 0600)
{
	for (int i = 0; i < 50; i++)
		REFUSED(EACCES, open(token, O_RDONLY));
}
CASE(refused_then_allowed, "open!EACCES^recon open", "refused for writing, then read", .owned_by_root = 1)
{
	REFUSED(EACCES, open(token, O_RDWR));
	OK(open(token, O_RDONLY));
}
CASE(refused_noatime, "", "open(2) with O_NOATIME by another user", .cant = "allowed by the file's mode, then refused before any hook gets the file", .owned_by_root = 1)
{
	REFUSED(EPERM, open(token, O_RDONLY | O_NOATIME));
}
#define READ_ONLY "the mount refuses, before any hook gets the file"
CASE(read_only_open, "", "open(2) for writing on the read-only mount", .cant = READ_ONLY, .only = "bind")
{
	REFUSED(EROFS, open(token, O_WRONLY));
	REFUSED(EROFS, open(token, O_RDONLY | O_TRUNC));
}
CASE(read_only_change, "", "chmod, truncate, utimensat, setxattr there", .cant = READ_ONLY, .only = "bind")
{
	REFUSED(EROFS, chmod(token, 0700));
	REFUSED(EROFS, truncate(token, 0));
	REFUSED(EROFS, utimensat(AT_FDCWD, token, NULL, 0));
	REFUSED(EROFS, setxattr(token, "user.beesting", "x", 1, 0));
}
CASE(refused_directory, "", "open(2) below a directory that may not be searched",
     .cant = "the walk ends before the file is reached", .root = 1)
{
	OK(chown(dir, 0, 0));
	OK(chmod(dir, 0700));
	OK(setresgid(1000, 1000, 1000));
	OK(setresuid(1000, 1000, 1000));
	REFUSED(EACCES, open(token, O_RDONLY));
}
CASE(refused_chmod, "setattr!EPERM", "chmod(2) by another user", .owned_by_root = 1, .rw = 1) { REFUSED(EPERM, chmod(token, 0777)); }
CASE(refused_chown, "setattr!EPERM", "chown(2) to root", .rw = 1) { REFUSED(EPERM, chown(token, 0, 0)); }
CASE(refused_utimes, "setattr!EACCES", "utimensat(2) by another user", .owned_by_root = 1, .rw = 1) { REFUSED(EACCES, utimensat(AT_FDCWD, token, NULL, 0)); }
CASE(refused_truncate, "setattr!EACCES^recon", "truncate(2) against the file's mode", .rw = 1, .owned_by_root = 1) { REFUSED(EACCES, truncate(token, 0)); }
CASE(refused_setxattr, "xattr!EACCES^recon", "setxattr(2) by another user", .owned_by_root = 1, .rw = 1)
{
	REFUSED(EACCES, setxattr(token, "user.beesting", "x", 1, 0));
}
CASE(refused_trusted_xattr, "", "setxattr(2) of what only root may set", .cant = "refused before the file is asked", .rw = 1)
{
	REFUSED(EPERM, setxattr(token, "trusted.beesting", "x", 1, 0));
}
CASE(refused_unlink, "unlink!EACCES", "unlink(2) in a directory that may not be written", .root = 1, .uid = 1000)
{
	OK(chmod(dir, 0755));
	OK(chown(dir, 0, 0));
	OK(setresgid(1000, 1000, 1000));
	OK(setresuid(1000, 1000, 1000));
	REFUSED(EACCES, unlink(token));
}
CASE(refused_by_landlock, "open", "open(2) refused by Landlock", .lsm = "", .fanotify = "", .no_end = 1, .cant = "Landlock stands before bpf among the security modules; fentry and kprobe tell it as allowed", .since = "5.13")
{
	uint64_t handled = 4; /* LANDLOCK_ACCESS_FS_READ_FILE */
	int rules = syscall(NR_landlock_create_ruleset, &handled, sizeof(handled), 0);

	OK(rules);
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	OK(syscall(NR_landlock_restrict_self, rules, 0));
	REFUSED(EACCES, open(token, O_RDONLY));
}
CASE(refused_descriptor, "", "open(2) without a free descriptor", .cant = "refused before the path is looked at")
{
	while (dup(0) >= 0)
		;
	REFUSED(EMFILE, open(token, O_RDONLY));
}
CASE(refused_lock, "open x2 lock x2", "flock(2) that somebody else holds: EWOULDBLOCK is no refusal of the file")
{
	OK(flock(OK(open(token, O_RDONLY)), LOCK_EX));
	REFUSED(EWOULDBLOCK, flock(OK(open(token, O_RDONLY)), LOCK_EX | LOCK_NB));
}
