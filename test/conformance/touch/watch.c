/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Marks and locks. */
#include "touch.h"
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>

static int rw(void) { return OK(open(token, O_RDWR)); }

CASE(inotify, "watch", "inotify_add_watch(2)") { OK(inotify_add_watch(OK(inotify_init1(0)), token, IN_ALL_EVENTS)); }
CASE(inotify_unreadable, "watch!EACCES^recon", "inotify_add_watch(2) without the permission", .owned_by_root = 1, .mode = 0600)
{
	REFUSED(EACCES, inotify_add_watch(OK(inotify_init1(0)), token, IN_OPEN));
}
CASE(inotify_directory, "", "inotify_add_watch(2) on its directory, and nothing touched") { OK(inotify_add_watch(OK(inotify_init1(0)), dir, IN_ALL_EVENTS)); }
CASE(fanotify, "watch", "fanotify_mark(2)", .root = 1)
{
	int f = OK(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY));

	OK(fanotify_mark(f, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, token));
}
CASE(fanotify_mount, "watch", "fanotify_mark(2) with FAN_MARK_MOUNT, by the token's path", .root = 1)
{
	int f = OK(fanotify_init(FAN_CLASS_NOTIF, O_RDONLY));

	OK(fanotify_mark(f, FAN_MARK_ADD | FAN_MARK_MOUNT, FAN_OPEN, AT_FDCWD, token));
}
CASE(flock, "open lock", "flock(2)", .rw = 1) { OK(flock(rw(), LOCK_EX)); }
CASE(flock_shared, "open lock", "flock(2), shared, without waiting", .rw = 1) { OK(flock(rw(), LOCK_SH | LOCK_NB)); }
CASE(fcntl_lock, "open lock", "fcntl(2), F_SETLK", .rw = 1)
{
	struct flock l = {.l_type = F_WRLCK};

	OK(fcntl(rw(), F_SETLK, &l));
}
CASE(fcntl_ofd_lock, "open lock", "fcntl(2), F_OFD_SETLKW", .rw = 1)
{
	struct flock l = {.l_type = F_RDLCK};

	OK(fcntl(rw(), F_OFD_SETLKW, &l));
}
CASE(fcntl_test_lock, "open", "fcntl(2), F_GETLK: takes none", .rw = 1)
{
	struct flock l = {.l_type = F_WRLCK};

	OK(fcntl(rw(), F_GETLK, &l));
	/* Nor may it show that the sensor has one. */
	OK(l.l_type == F_UNLCK ? 0 : -1);
}
CASE(flock_for_reading, "open lock", "flock(2), exclusive, of a descriptor for reading") { OK(flock(OK(open(token, O_RDONLY)), LOCK_EX)); }
CASE(fcntl_read_lock, "open lock", "fcntl(2), F_SETLK for reading")
{
	struct flock l = {.l_type = F_RDLCK};

	OK(fcntl(OK(open(token, O_RDONLY)), F_SETLK, &l));
}
CASE(lease, "open lock", "fcntl(2), F_SETLEASE")
{
	EITHER(EAGAIN, EINVAL, fcntl(OK(open(token, O_RDONLY)), F_SETLEASE, F_RDLCK));
}
