/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Mounts. Each toucher has a mount namespace of its own, so nothing is left. */
#include "touch.h"

#define MOVE_EMPTY_FROM 4

static const char *other(void) { return file(scratch, "other"); }

CASE(bind_elsewhere, "mount", "mount(2): bound elsewhere", .root = 1)
{
	own_mounts();
	OK(mount(token, other(), NULL, MS_BIND, NULL));
}
CASE(mount_over, "mount", "mount(2): another file mounted over it", .root = 1)
{
	own_mounts();
	OK(mount(other(), token, NULL, MS_BIND, NULL));
}
CASE(mount_move, "", "mount(2) with MS_MOVE", .cant = "only what is mounted over is seen", .root = 1, .only = "bind")
{
	own_mounts();
	OK(mount(token, other(), NULL, MS_MOVE, NULL));
}
CASE(mount_remount, "mount", "mount(2): remounted read-only", .root = 1, .only = "bind")
{
	own_mounts();
	OK(mount(NULL, token, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY, NULL));
}
CASE(mount_attributes, "", "mount_setattr(2): read-only", .cant = "no hook is called", .root = 1, .since = "5.12", .only = "bind")
{
	struct { uint64_t set, clr, propagation, userns; } a = {.set = 1};

	own_mounts();
	OK(syscall(NR_mount_setattr, AT_FDCWD, token, 0, &a, sizeof(a)));
}
CASE(mount_propagation, "mount", "mount(2): made shared", .root = 1, .only = "bind")
{
	own_mounts();
	OK(mount(NULL, token, NULL, MS_SHARED, NULL));
}
CASE(move_mount_elsewhere, "mount x2", "open_tree(2), then move_mount(2): bound elsewhere in two calls; a kprobe tells the descriptor, too", .kprobe = "mount x2 open_path", .before = "6.2", .old = "mount x2", .root = 1)
{
	own_mounts();
	int fd = OK(syscall(NR_open_tree, AT_FDCWD, token, 1));
	OK(syscall(NR_move_mount, fd, "", AT_FDCWD, other(), MOVE_EMPTY_FROM));
}
CASE(move_mount_over, "mount", "open_tree(2) and move_mount(2): mounted over", .root = 1)
{
	own_mounts();
	int fd = OK(syscall(NR_open_tree, AT_FDCWD, other(), 1));
	OK(syscall(NR_move_mount, fd, "", AT_FDCWD, token, MOVE_EMPTY_FROM));
}
CASE(umount, "mount", "umount2(2)", .root = 1, .only = "bind") { own_mounts(); OK(umount2(token, 0)); }
CASE(umount_lazy, "mount", "umount2(2) with MNT_DETACH", .root = 1, .only = "bind") { own_mounts(); OK(umount2(token, MNT_DETACH)); }
CASE(umount_and_open, "mount", "umount2(2), then the empty file below opened: that is not the token", .root = 1, .only = "bind")
{
	own_mounts();
	OK(umount2(token, MNT_DETACH));
	OK(open(token, O_RDONLY));
}
CASE(umount_no_mount, "", "umount2(2) of what is no mount", .cant = "refused before any hook gets the file", .root = 1, .only = "overlay")
{
	REFUSED(EINVAL, umount2(token, 0));
}
CASE(mount_over_directory, "", "a tmpfs mounted over its directory", .cant = "nothing is asked of the file", .root = 1)
{
	own_mounts();
	OK(mount("none", dir, "tmpfs", 0, NULL));
	REFUSED(ENOENT, open(token, O_RDONLY));
}
