/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* O_PATH, file handles and mount trees: references that give no content. */
#include "touch.h"

static int path_fd(void) { return OK(open(token, O_PATH)); }

static const char *of(int fd)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", fd);
	return in("/proc/self/fd", number);
}

struct handle {
	struct file_handle h;
	unsigned char bytes[MAX_HANDLE_SZ];
};

static void handle_of(const char *path, struct handle *h, int flags)
{
	int mount_id;

	h->h.handle_bytes = MAX_HANDLE_SZ;
	OK(name_to_handle_at(AT_FDCWD, path, &h->h, &mount_id, flags));
}

CASE(open_path, "open_path", "O_PATH") { OK(close(path_fd())); }
CASE(open_path_nofollow, "open_path", "O_PATH with O_NOFOLLOW") { OK(close(OK(open(token, O_PATH | O_NOFOLLOW)))); }
CASE(openat2_path, "open_path", "openat2 with O_PATH")
{
	struct how how = {.flags = O_PATH};

	OK(close(OK(syscall(NR_openat2, AT_FDCWD, token, &how, sizeof(how)))));
}
CASE(open_path_symlink, "symlink", "O_PATH of a link to it with O_NOFOLLOW: the link only")
{
	OK(symlink(token, in(scratch, "l")));
	OK(close(OK(open(in(scratch, "l"), O_PATH | O_NOFOLLOW))));
}
CASE(open_path_reopen, "open_path open", "O_PATH, then opened through /proc/self/fd")
{
	OK(close(OK(open(of(path_fd()), O_RDONLY))));
}
CASE(open_path_fstat, "open_path/stat", "fstat(2) of the O_PATH descriptor: part of it, where it is seen; before 6.6 not where the file is writable", .before = "6.6", .old = "open_path/stat", .old_overlay = "open_path stat")
{
	struct stat st;

	OK(fstat(path_fd(), &st));
}
CASE(open_path_exec, "open_path exec/open", "execveat(2) of the O_PATH descriptor", .content = "elf")
{
	char *const argv[] = {"token", "noop", NULL};

	OK(syscall(SYS_execveat, path_fd(), "", argv, environ, AT_EMPTY_PATH));
}
CASE(open_tree, "open_path", "open_tree(2)", .before = "6.2", .old = "", .cant = "before 6.2 the kernel opens it without vfs_open", .since = "5.2") { OK(close(OK(syscall(NR_open_tree, AT_FDCWD, token, 0)))); }
CASE(open_tree_clone, "mount/open_path", "open_tree(2) with OPEN_TREE_CLONE: bound, attached nowhere; a kprobe tells the descriptor, too", .kprobe = "mount open_path", .before = "6.2", .old = "mount/open_path", .root = 1)
{
	OK(close(OK(syscall(NR_open_tree, AT_FDCWD, token, 1))));
}
CASE(open_tree_open, "mount/open_path open", "open_tree(2), then opened through it", .kprobe = "mount open_path open", .before = "6.2", .old = "mount/open_path open", .root = 1)
{
	int fd = OK(syscall(NR_open_tree, AT_FDCWD, token, 1));

	OK(close(OK(open(of(fd), O_RDONLY))));
}
CASE(handle, "handle", "name_to_handle_at(2)", .overlay = "",
     .cant = "the kernel refuses handles of overlay files before it gets to the file")
{
	struct handle h;
	int mount_id;

	if (!overlay) {
		handle_of(token, &h, 0);
		return;
	}
	h.h.handle_bytes = MAX_HANDLE_SZ;
	REFUSED(EOPNOTSUPP, name_to_handle_at(AT_FDCWD, token, &h.h, &mount_id, 0));
}
CASE(handle_fid, "handle", "name_to_handle_at(2) with AT_HANDLE_FID; a kprobe counts an overlay's backing file, too", .kprobe_overlay = "handle x2", .since = "6.6")
{
	struct handle h;

	handle_of(token, &h, 0x200);
}
CASE(handle_size, "handle", "name_to_handle_at(2) without room: asks the size only", .only = "bind")
{
	struct handle h;
	int mount_id;

	h.h.handle_bytes = 0;
	REFUSED(EOVERFLOW, name_to_handle_at(AT_FDCWD, token, &h.h, &mount_id, 0));
}
static int by_handle(int flags)
{
	struct handle h;
	char *at = strdup(host);

	*strrchr(at, '/') = 0;
	handle_of(host, &h, 0);
	return OK(open_by_handle_at(OK(open(at, O_RDONLY | O_DIRECTORY)), &h.h, flags));
}
CASE(handle_open, "handle open", "open_by_handle_at(2) of the host's file", .root = 1, .host = 1) { OK(close(by_handle(O_RDONLY))); }
CASE(handle_open_path, "handle open_path", "open_by_handle_at(2) with O_PATH", .root = 1, .host = 1) { OK(close(by_handle(O_PATH))); }
