/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Attributes, asked for and changed, by path. */
#include "touch.h"
#include <sys/statfs.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif

static struct stat st;
static struct statx sx;
static char buf[64];

CASE(stat, "stat", "stat(2)")
{
#ifdef SYS_stat
	OK(syscall(SYS_stat, token, &st));
#else
	OK(stat(token, &st));
#endif
}
CASE(lstat, "stat", "lstat(2)")
{
#ifdef SYS_lstat
	OK(syscall(SYS_lstat, token, &st));
#else
	OK(lstat(token, &st));
#endif
}
CASE(fstatat, "stat", "fstatat(2) with the directory's descriptor") { OK(fstatat(OK(open(dir, O_PATH)), name, &st, 0)); }
CASE(statx, "stat", "statx(2)") { OK(statx(AT_FDCWD, token, 0, STATX_BASIC_STATS, &sx)); }
CASE(statx_dont_sync, "stat", "statx(2) with AT_STATX_DONT_SYNC, mask 0") { OK(statx(AT_FDCWD, token, AT_STATX_DONT_SYNC, 0, &sx)); }
CASE(stat_many, "stat x100", "a hundred stats, coalesced")
{
	for (int i = 0; i < 100; i++)
		OK(stat(token, &st));
}
CASE(stat_symlink, "symlink stat", "stat(2) of a link to it")
{
	OK(symlink(token, in(scratch, "l")));
	OK(stat(in(scratch, "l"), &st));
}
CASE(lstat_symlink, "symlink", "lstat(2) of a link to it: the link only")
{
	OK(symlink(token, in(scratch, "l")));
	OK(lstat(in(scratch, "l"), &st));
}
CASE(stat_host, "stat", "stat(2) of the host's file", .root = 1, .host = 1) { OK(stat(host, &st)); }
CASE(file_getattr, "stat", "file_getattr(2)", .since = "6.17")
{
	char attr[24];

	EITHER(EOPNOTSUPP, ENOTTY, syscall(NR_file_getattr, AT_FDCWD, token, attr, sizeof(attr), 0));
}

CASE(access, "access", "access(2), R_OK") { OK(access(token, R_OK)); }
CASE(access_exists, "access", "access(2), F_OK") { OK(access(token, F_OK)); }
CASE(access_write, "access", "access(2), W_OK and X_OK", .rw = 1) { OK(access(token, W_OK | X_OK)); }
CASE(faccessat, "access", "faccessat(2) with the directory's descriptor") { OK(syscall(SYS_faccessat, OK(open(dir, O_PATH)), name, R_OK)); }
CASE(faccessat2, "access", "faccessat2(2) with AT_EACCESS", .since = "5.8") { OK(syscall(NR_faccessat2, AT_FDCWD, token, R_OK, AT_EACCESS)); }
CASE(access_refused, "access!EACCES", "access(2) that says no", .owned_by_root = 1, .mode = 0600) { REFUSED(EACCES, access(token, R_OK)); }

CASE(readlink, "readlink", "readlink(2) of the file: it is no link") { REFUSED(EINVAL, readlink(token, buf, sizeof(buf))); }
CASE(readlinkat, "readlink", "readlinkat(2) with the directory's descriptor") { REFUSED(EINVAL, readlinkat(OK(open(dir, O_PATH)), name, buf, sizeof(buf))); }

CASE(getxattr, "xattr", "getxattr(2)", .detail = "user.beesting") { EITHER(ENODATA, EOPNOTSUPP, getxattr(token, "user.beesting", buf, 8)); }
CASE(lgetxattr, "xattr", "lgetxattr(2)", .detail = "security.capability") { EITHER(ENODATA, EOPNOTSUPP, lgetxattr(token, "security.capability", buf, 8)); }
CASE(listxattr, "xattr", "listxattr(2)") { OK(listxattr(token, NULL, 0)); }
CASE(setxattr, "xattr", "setxattr(2)", .fanotify = "setattr", .root = 1, .detail = "trusted.beesting", .rw = 1) { OK(setxattr(token, "trusted.beesting", "x", 1, 0)); }
CASE(removexattr, "xattr", "removexattr(2) of one that is not there", .root = 1, .detail = "trusted.beesting", .rw = 1) { REFUSED(ENODATA, removexattr(token, "trusted.beesting")); }
CASE(setxattr_acl, "xattr", "setxattr(2) of an ACL", .fanotify = "setattr", .detail = "system.posix_acl_access", .rw = 1)
{
	/* Version 2: user, group and others. */
	static const unsigned char acl[] = {2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 4, 0, 5, 0, 255, 255, 255, 255, 32, 0, 5, 0, 255, 255, 255, 255};

	EITHER(EOPNOTSUPP, EOPNOTSUPP, setxattr(token, "system.posix_acl_access", acl, sizeof(acl), 0));
}
CASE(getxattr_acl, "xattr", "getxattr(2) of an ACL", .detail = "system.posix_acl_access") { EITHER(ENODATA, EOPNOTSUPP, getxattr(token, "system.posix_acl_access", buf, sizeof(buf))); }
CASE(listxattrat, "xattr", "listxattrat(2)", .since = "6.13") { OK(syscall(NR_listxattrat, AT_FDCWD, token, 0, NULL, 0)); }

CASE(chmod, "setattr", "chmod(2)", .rw = 1) { OK(chmod(token, 0700)); }
CASE(fchmodat, "setattr", "fchmodat(2)", .rw = 1) { OK(fchmodat(OK(open(dir, O_PATH)), name, 0700, 0)); }
CASE(fchmodat2, "setattr", "fchmodat2(2) with AT_SYMLINK_NOFOLLOW", .since = "6.6", .rw = 1) { OK(syscall(NR_fchmodat2, AT_FDCWD, token, 0700, AT_SYMLINK_NOFOLLOW)); }
CASE(chown, "setattr", "chown(2)", .root = 1, .rw = 1) { OK(chown(token, 1001, 1001)); }
CASE(lchown, "setattr", "lchown(2)", .root = 1, .rw = 1) { OK(lchown(token, 1001, 1001)); }
CASE(utimensat, "setattr", "utimensat(2)", .rw = 1) { OK(utimensat(AT_FDCWD, token, NULL, 0)); }
CASE(utime, "setattr", "utime(2), to a time of choice", .rw = 1)
{
	struct utimbuf t = {1, 1};

	OK(utime(token, &t));
}
CASE(truncate, "setattr", "truncate(2)", .fanotify = "", .cant = "not in the fanotify mode", .rw = 1) { OK(truncate(token, 2)); }
CASE(file_setattr, "setattr", "file_setattr(2); a kprobe tells a stat, too", .fanotify_since = "7.0", .cant = "fanotify gets no event for it on 6.18, on 7.3 it does", .kprobe = "setattr stat", .since = "6.17", .root = 1, .rw = 1)
{
	char attr[24] = {0};

	EITHER(EOPNOTSUPP, ENOTTY, syscall(NR_file_setattr, AT_FDCWD, token, attr, sizeof(attr), 0));
}

/* Questions that are about something else, or that no hook gets. */
CASE(statfs, "", "statfs(2)", .cant = "asks about the file system, not about the file")
{
	struct statfs fs;

	OK(statfs(token, &fs));
}
CASE(chdir, "", "chdir(2) into it, which is no directory", .cant = "the walk ends before the file is asked for anything")
{
	REFUSED(ENOTDIR, chdir(token));
}
CASE(as_directory, "", "a path that goes on below it", .cant = "the walk ends before the file is asked for anything")
{
	REFUSED(ENOTDIR, open(in(token, "x"), O_RDONLY));
}
CASE(open_excl, "", "open(2) with O_EXCL: tells that it exists", .cant = "refused before any hook gets the file")
{
	REFUSED(EEXIST, open(token, O_CREAT | O_EXCL | O_WRONLY, 0600));
}
CASE(open_directory, "", "open(2) with O_DIRECTORY: tells that it is no directory", .cant = "refused before any hook gets the file")
{
	REFUSED(ENOTDIR, open(token, O_RDONLY | O_DIRECTORY));
}
CASE(mkdir_over, "", "mkdir(2), mknod(2), symlink(2) of its name: tell that it exists", .cant = "refused before any hook gets the file")
{
	REFUSED(EEXIST, mkdir(token, 0755));
	REFUSED(EEXIST, mknod(token, S_IFREG | 0644, 0));
	REFUSED(EEXIST, symlink("nowhere", token));
}
