/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names: links, symbolic links, renames, removals, and the directory. */
#include "touch.h"
#include <dirent.h>

/* do_linkat compares the mounts before it looks at what is to be linked. */
#define XDEV "bind-mounted: refused before any hook gets the file"

static const char *to(void) { return in(scratch, "to"); }

CASE(link, "", "link(2): across the bind mount it is refused", .overlay = "link", .cant = XDEV)
{
	if (overlay)
		OK(link(token, to()));
	else
		REFUSED(EXDEV, link(token, to()));
}
CASE(linkat_proc_fd, "open_path", "linkat(2) through /proc/self/fd", .overlay = "open_path link", .cant = XDEV)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%ld", OK(open(token, O_PATH)));
	if (overlay)
		OK(linkat(AT_FDCWD, path, AT_FDCWD, to(), AT_SYMLINK_FOLLOW));
	else
		REFUSED(EXDEV, linkat(AT_FDCWD, path, AT_FDCWD, to(), AT_SYMLINK_FOLLOW));
}
CASE(link_host, "link", "link(2) of the host's file", .root = 1, .only = "bind")
{
	char *second;

	OK(asprintf(&second, "%s.2", host));
	OK(link(host, second));
}
CASE(link_to_hard, "link open", "link(2) of its other name, then opened", .root = 1, .hardlink = 1, .only = "bind")
{
	char *second;

	OK(asprintf(&second, "%s.2", hard));
	OK(link(hard, second));
	OK(open(second, O_RDONLY));
}

CASE(symlink, "symlink", "symlink(2), absolute") { OK(symlink(token, to())); }
CASE(symlink_relative, "symlink", "symlink(2), relative")
{
	OK(symlink(in(in("..", strrchr(dir, '/') + 1), name), to()));
}
CASE(symlink_same_directory, "symlink", "symlink(2) beside it, by its name alone")
{
	OK(symlink(name, in(dir, "beside")));
}
CASE(symlinkat, "symlink", "symlinkat(2) with a directory's descriptor")
{
	OK(symlinkat(in(in("..", strrchr(dir, '/') + 1), name), OK(open(scratch, O_PATH)), "to"));
}
CASE(symlink_dots, "symlink", "symlink(2) with .. and // in the target")
{
	OK(symlink(in(in(dir, ".././/"), in(strrchr(dir, '/'), name)), to()));
}
CASE(symlink_through_directory, "symlink", "symlink(2) through a link to its directory")
{
	OK(symlink(dir, in(scratch, "d")));
	OK(symlink(in("d", name), to()));
}
CASE(symlink_to_symlink, "symlink", "a link to it and a link to that link", .cant = "the second link's target has another name")
{
	OK(symlink(token, in(scratch, "first")));
	OK(symlink("first", to()));
}
CASE(symlink_elsewhere, "", "links to other files, also of the same name")
{
	file(scratch, name);
	OK(symlink(in(scratch, name), to()));
	OK(symlink(name, in(scratch, "a")));
	OK(symlink(in("/nowhere", name), in(scratch, "b")));
	OK(symlink("", in(scratch, "c")) < 0 && errno == ENOENT ? 0 : -1);
}

#define EXCHANGE 2
#define NOREPLACE 1
static int renameat2_(const char *from, const char *target, int flags)
{
	return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, target, flags);
}
/* BUSY: the last component is a mount point, which can't be renamed or removed;
 * in an overlay it can. */
#define BUSY(call)                     \
	do {                           \
		if (overlay)           \
			OK(call);      \
		else                   \
			REFUSED(EBUSY, call); \
	} while (0)

CASE(rename, "rename!EBUSY", "rename(2)", .overlay = "rename", .detail = "to") { BUSY(rename(token, to())); }
CASE(rename_beside, "rename!EBUSY", "rename(2) within its directory", .overlay = "rename", .detail = "other") { BUSY(rename(token, in(dir, "other"))); }
CASE(rename_over, "rename!EBUSY", "rename(2) of another file over it", .overlay = "rename", .fanotify = "unlink") { BUSY(rename(file(scratch, "new"), token)); }
CASE(rename_exchange, "rename!EBUSY", "renameat2(2) with RENAME_EXCHANGE", .overlay = "rename") { BUSY(renameat2_(token, file(scratch, "to"), EXCHANGE)); }
CASE(rename_exchanged, "rename!EBUSY", "the same from the other side", .overlay = "rename") { BUSY(renameat2_(file(scratch, "to"), token, EXCHANGE)); }
CASE(rename_host, "rename", "rename(2) of the host's file", .root = 1, .only = "bind")
{
	char *other;

	OK(asprintf(&other, "%s.2", host));
	OK(rename(host, other));
}
CASE(rename_directory, "", "rename(2) of its directory", .cant = "nothing is asked of the file; its inode stays watched", .only = "overlay")
{
	OK(rename(dir, to()));
}
CASE(rename_noreplace, "", "renameat2(2) of another file to its name with NOREPLACE", .cant = "refused before any hook gets the file")
{
	REFUSED(EEXIST, renameat2_(file(scratch, "new"), token, NOREPLACE));
}
CASE(unlink, "unlink!EBUSY", "unlink(2)", .overlay = "unlink") { BUSY(unlink(token)); }
CASE(unlinkat, "unlink!EBUSY", "unlinkat(2) with the directory's descriptor", .overlay = "unlink") { BUSY(unlinkat(OK(open(dir, O_PATH)), name, 0)); }
CASE(unlink_host, "unlink", "unlink(2) of the host's file", .root = 1, .only = "bind") { OK(unlink(host)); }
CASE(unlink_then_read, "open unlink", "opened, unlinked, read", .only = "overlay")
{
	char c;
	int fd = OK(open(token, O_RDONLY));

	OK(unlink(token));
	OK(read(fd, &c, 1));
}
CASE(rmdir_over, "", "rmdir(2) of it", .cant = "refused before any hook gets the file") { EITHER(ENOTDIR, EBUSY, rmdir(token)); }

static void read_directory(void)
{
	DIR *d = opendir(dir);

	OK(d ? 0 : -1);
	while (readdir(d))
		;
	closedir(d);
}
CASE(list, "list", "its directory read, where that was asked for", .directory = 1) { read_directory(); }
CASE(list_unasked, "", "its directory read, where it wasn't asked for") { read_directory(); }
CASE(directory_opened, "", "its directory opened and asked for attributes")
{
	struct stat st;
	int fd = OK(open(dir, O_RDONLY | O_DIRECTORY));

	OK(fstat(fd, &st));
	OK(stat(dir, &st));
	OK(access(dir, R_OK));
}
CASE(neighbours, "", "files made, opened and removed beside it")
{
	const char *other = file(dir, "neighbour");

	OK(open(other, O_RDONLY));
	OK(rename(other, in(dir, "neighbour2")));
	OK(unlink(in(dir, "neighbour2")));
	REFUSED(ENOENT, open(in(dir, "missing"), O_RDONLY));
}
