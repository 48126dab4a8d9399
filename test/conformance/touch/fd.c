/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is done through a descriptor that the process itself opened. */
#include "touch.h"
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif

static char buf[64];

static int rd(void) { return OK(open(token, O_RDONLY)); }
static int rw(void) { return OK(open(token, O_RDWR)); }

CASE(own_read, "open", "read(2) of the own open", .reads = 1) { OK(read(rd(), buf, 8)); }
CASE(own_read_many, "open", "a hundred reads", .reads = 100)
{
	int fd = rd();

	for (int i = 0; i < 100; i++)
		OK(pread(fd, buf, 8, 0));
}
CASE(own_readv, "open", "readv, preadv, preadv2", .reads = 3)
{
	struct iovec v = {buf, 8};
	int fd = rd();

	OK(readv(fd, &v, 1));
	OK(preadv(fd, &v, 1, 0));
	OK(preadv2(fd, &v, 1, 0, 0));
}
CASE(own_write, "open", "write, pwrite, pwritev", .writes = 3, .rw = 1)
{
	struct iovec v = {buf, 8};
	int fd = rw();

	OK(write(fd, buf, 8));
	OK(pwrite(fd, buf, 8, 0));
	OK(pwritev(fd, &v, 1, 0));
}
CASE(own_dup, "open", "dup(2), the copy read after the first was closed", .reads = 1)
{
	int fd = rd(), copy = OK(dup(fd));

	OK(close(fd));
	OK(read(copy, buf, 8));
}
CASE(own_seek, "open", "lseek, readahead, posix_fadvise")
{
	int fd = rd();

	OK(lseek(fd, 0, SEEK_END));
	EITHER(EINVAL, EINVAL, readahead(fd, 0, 8));
	OK(posix_fadvise(fd, 0, 8, POSIX_FADV_WILLNEED) ? -1 : 0);
}
CASE(own_sendfile, "open", "sendfile(2) to a socket")
{
	int s[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(sendfile(s[0], rd(), NULL, 8));
}
CASE(own_splice, "open", "splice(2) to a pipe")
{
	int p[2];

	OK(pipe(p));
	OK(splice(rd(), NULL, p[1], NULL, 8, 0));
}
CASE(own_copy_file_range, "open", "copy_file_range(2) to another file")
{
	int out = OK(open(file(scratch, "copy"), O_WRONLY));

	OK(copy_file_range(rd(), NULL, out, NULL, 8, 0));
}
CASE(own_clone, "open", "FICLONE to another file")
{
	int out = OK(open(file(scratch, "copy"), O_WRONLY));

	EITHER(EOPNOTSUPP, EXDEV, ioctl(out, FICLONE, rd()));
}
CASE(own_dedupe, "open", "FIDEDUPERANGE with another file")
{
	union { struct file_dedupe_range r; char space[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)]; } d = {.r = {.src_length = 8, .dest_count = 1}};

	d.r.info[0].dest_fd = OK(open(file(scratch, "copy"), O_WRONLY));
	EITHER(EOPNOTSUPP, EINVAL, ioctl(rd(), FIDEDUPERANGE, &d));
}
CASE(own_cachestat, "open", "cachestat(2): which of its pages are in memory", .since = "6.5")
{
	uint64_t range[2] = {0, 0}, counts[5];

	OK(syscall(NR_cachestat, rd(), range, counts, 0));
}
CASE(own_fstat, "open", "fstat, fstatat with an empty path, statx; before 6.6 not taken for the own open where the file is writable", .before = "6.6", .old = "open", .old_overlay = "open stat x3")
{
	struct statx sx;
	struct stat st;
	int fd = rd();

	OK(fstat(fd, &st));
	OK(fstatat(fd, "", &st, AT_EMPTY_PATH));
	OK(statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &sx));
}
CASE(own_sync, "open", "fsync, fdatasync, sync_file_range", .rw = 1)
{
	int fd = rw();

	OK(fsync(fd));
	OK(fdatasync(fd));
	OK(sync_file_range(fd, 0, 8, 0));
}
CASE(own_getflags, "open", "FS_IOC_GETFLAGS, FIONREAD; from 6.17 on a kprobe takes it for a stat", .before = "6.17", .old = "open", .kprobe = "open stat")
{
	int fd = rd(), flags;

	EITHER(ENOTTY, EOPNOTSUPP, ioctl(fd, FS_IOC_GETFLAGS, &flags));
	OK(ioctl(fd, FIONREAD, &flags));
}
CASE(own_fallocate, "open", "fallocate(2) within the file", .rw = 1)
{
	EITHER(EOPNOTSUPP, EOPNOTSUPP, fallocate(rw(), FALLOC_FL_KEEP_SIZE, 0, 8));
}
CASE(own_fdinfo, "open", "/proc/self/fdinfo and a readlink in /proc/self/fd")
{
	char path[64];
	int fd = rd();

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	OK(read(OK(open(path, O_RDONLY)), buf, 8));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	OK(readlink(path, buf, sizeof(buf)));
}
CASE(own_reopen, "open x2", "opened again through /proc/self/fd")
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", rd());
	OK(open(path, O_RDONLY));
}
CASE(own_exec_read, "open", "read after an exec of the process: still its own open")
{
	int fd = OK(open(token, O_RDONLY));
	char *const argv[] = {"touch", "cat", NULL};

	OK(dup2(fd, 0));
	OK(close(fd));
	OK(execv("/proc/self/exe", argv));
}
CASE(memfd_copy, "open", "a copy in a memfd, read there")
{
	int m = OK(memfd_create("copy", 0));

	OK(sendfile(m, rd(), NULL, 8));
	OK(pread(m, buf, 8, 0));
}

/* mmap is an access of its own. */
static char *map(int fd, int prot, int flags)
{
	char *p = mmap(NULL, 4096, prot, flags, fd, 0);

	OK(p == MAP_FAILED ? -1 : 0);
	return p;
}
CASE(mmap_private, "open mmap", "MAP_PRIVATE, read there") { buf[0] = *map(rd(), PROT_READ, MAP_PRIVATE); }
CASE(mmap_shared, "open mmap", "MAP_SHARED, written there", .rw = 1) { *map(rw(), PROT_READ | PROT_WRITE, MAP_SHARED) = 'x'; }
CASE(mmap_populate, "open mmap", "MAP_POPULATE") { map(rd(), PROT_READ, MAP_PRIVATE | MAP_POPULATE); }
CASE(mmap_exec, "open mmap", "PROT_EXEC, as a library") { map(rd(), PROT_READ | PROT_EXEC, MAP_PRIVATE); }
CASE(mmap_closed, "open mmap", "read there after close(2)")
{
	int fd = rd();
	char *p = map(fd, PROT_READ, MAP_PRIVATE);

	OK(close(fd));
	buf[0] = *p;
}
CASE(mmap_protect, "open mmap", "mprotect, mremap, madvise, msync of the mapping", .rw = 1)
{
	char *p = map(rw(), PROT_READ, MAP_SHARED);

	OK(mprotect(p, 4096, PROT_READ | PROT_WRITE));
	OK(madvise(p, 4096, MADV_WILLNEED));
	OK(msync(p, 4096, MS_SYNC));
	OK(mremap(p, 4096, 8192, MREMAP_MAYMOVE) == MAP_FAILED ? -1 : 0);
}
CASE(mmap_mincore, "open mmap", "mincore(2) of the mapping: which of its pages are in memory")
{
	unsigned char pages[1];

	OK(mincore(map(rd(), PROT_READ, MAP_SHARED), 4096, pages));
}
CASE(mmap_twice, "open mmap x2", "two mappings") { int fd = rd(); map(fd, PROT_READ, MAP_PRIVATE); map(fd, PROT_READ, MAP_PRIVATE); }

/* What changes the file through the own open is an access of its own, too. */
CASE(own_fchmod, "open setattr", "fchmod(2)", .rw = 1) { OK(fchmod(rd(), 0755)); }
CASE(own_fchown, "open setattr", "fchown(2)", .root = 1, .rw = 1) { OK(fchown(rd(), 1000, 1000)); }
CASE(own_futimens, "open setattr", "futimens(2)", .rw = 1) { OK(futimens(rd(), NULL)); }
CASE(own_ftruncate, "open setattr", "ftruncate(2)", .fanotify = "open", .rw = 1) { OK(ftruncate(rw(), 3)); }
CASE(own_fgetxattr, "open xattr", "fgetxattr(2)", .detail = "user.beesting") { EITHER(ENODATA, EOPNOTSUPP, fgetxattr(rd(), "user.beesting", buf, 8)); }
CASE(own_flistxattr, "open xattr", "flistxattr(2)") { OK(flistxattr(rd(), NULL, 0)); }
CASE(own_fsetxattr, "open xattr", "fsetxattr(2)", .fanotify = "open setattr", .detail = "trusted.beesting", .root = 1, .rw = 1) { OK(fsetxattr(rd(), "trusted.beesting", "x", 1, 0)); }
