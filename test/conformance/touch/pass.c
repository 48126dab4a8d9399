/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Descriptors that somebody else opened: inherited, or handed over. */
#include "touch.h"
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/xattr.h>

enum { INHERITED = 3 };

static char buf[64];
static int fd = -1, sockets[2];

static int rd(void) { return OK(open(token, O_RDONLY)); }

static void read_fd(void) { OK(pread(fd, buf, 8, 0)); }
static void write_fd(void) { OK(pwrite(fd, buf, 8, 0)); }
static void map_fd(void) { OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0); }

CASE(fork_read, "open read@child", "a forked process reads") { fd = rd(); child(read_fd); }
CASE(fork_write, "open write@child", "a forked process writes", .rw = 1) { fd = OK(open(token, O_RDWR)); child(write_fd); }
CASE(fork_mmap, "open mmap@child", "a forked process maps it") { fd = rd(); child(map_fd); }
static void stat_fd(void) { struct stat st; OK(fstat(fd, &st)); }
CASE(fork_fstat, "open stat@child", "a forked process asks for attributes") { fd = rd(); child(stat_fd); }
static void nothing(void) {}
CASE(fork_nothing, "open", "a forked process that leaves it alone") { fd = rd(); child(nothing); }
static void exec_cat(void)
{
	char *const argv[] = {"touch", "cat", NULL};

	OK(dup2(fd, 0));
	OK(execv("/proc/self/exe", argv));
}
CASE(fork_exec_read, "open read@child x2", "the shell's `cat < token`, which reads until the end")
{
	fd = rd();
	child(exec_cat);
}

/* Descriptor 3 comes from the process that started the toucher. */
CASE(inherit_read, "read", "read(2)", .inherit = 1) { OK(read(INHERITED, buf, 8)); }
CASE(inherit_pread, "read", "pread(2)", .inherit = 1) { OK(pread(INHERITED, buf, 8, 0)); }
CASE(inherit_read_many, "read x100", "a hundred reads, coalesced", .inherit = 1)
{
	for (int i = 0; i < 100; i++)
		OK(pread(INHERITED, buf, 8, 0));
}
CASE(inherit_readv, "read x2", "readv(2), preadv(2)", .inherit = 1)
{
	struct iovec v = {buf, 4};

	OK(readv(INHERITED, &v, 1));
	OK(preadv(INHERITED, &v, 1, 0));
}
CASE(inherit_write, "write", "write(2)", .inherit = 1) { OK(write(INHERITED, buf, 8)); }
CASE(inherit_sendfile, "read", "sendfile(2) from it; before 6.8 the kernel asks twice", .before = "6.8", .old = "read x2", .inherit = 1)
{
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	OK(sendfile(sockets[0], INHERITED, NULL, 8));
}
CASE(inherit_splice, "read", "splice(2) from it", .inherit = 1)
{
	OK(pipe(sockets));
	OK(splice(INHERITED, NULL, sockets[1], NULL, 8, 0));
}
CASE(inherit_copy_file_range, "read", "copy_file_range(2) from it; before 6.8 the kernel asks twice", .before = "6.8", .old = "read x2", .old_overlay = "read", .inherit = 1)
{
	OK(copy_file_range(INHERITED, NULL, OK(open(file(scratch, "copy"), O_WRONLY)), NULL, 8, 0));
}
CASE(inherit_dedupe, "read x2", "FIDEDUPERANGE: whether another file has the same in it; the kernel asks twice from 6.8 on, and did in some versions before", .before = "6.8", .old = "read", .again = "6.8", .fanotify = "", .cant = "on tmpfs and ext4 refused before the file is asked for anything; not in the fanotify mode", .reflink = 1, .inherit = 1)
{
	union { struct file_dedupe_range r; char space[sizeof(struct file_dedupe_range) + sizeof(struct file_dedupe_range_info)]; } d = {.r = {.src_length = 8, .dest_count = 1}};

	d.r.info[0].dest_fd = OK(open(file(scratch, "copy"), O_WRONLY));
	EITHER(EOPNOTSUPP, EINVAL, ioctl(INHERITED, FIDEDUPERANGE, &d));
}
CASE(inherit_cachestat, "", "cachestat(2): which of its pages are in memory", .cant = "no hook is called; nothing of what is in it is told", .inherit = 1, .since = "6.5")
{
	uint64_t range[2] = {0, 0}, counts[5];

	OK(syscall(NR_cachestat, INHERITED, range, counts, 0));
}
CASE(inherit_mmap, "mmap", "mmap(2)", .inherit = 1) { fd = INHERITED; map_fd(); }
CASE(inherit_fstat, "stat", "fstat(2)", .inherit = 1) { fd = INHERITED; stat_fd(); }
CASE(inherit_getxattr, "xattr", "fgetxattr(2)", .inherit = 1) { EITHER(ENODATA, EOPNOTSUPP, fgetxattr(INHERITED, "user.beesting", buf, 8)); }
CASE(inherit_flock, "lock", "flock(2)", .inherit = 1) { OK(flock(INHERITED, LOCK_EX)); }
CASE(inherit_ftruncate, "setattr", "ftruncate(2)", .fanotify = "", .cant = "not in the fanotify mode", .inherit = 1) { OK(ftruncate(INHERITED, 2)); }
CASE(inherit_reopen, "open", "opened again through /proc/self/fd", .inherit = 1) { OK(open("/proc/self/fd/3", O_RDONLY)); }
CASE(inherit_nothing, "", "held and never used", .inherit = 1) { OK(fcntl(INHERITED, F_GETFD)); }

/* Handed over. */
static void send_fd(int to, int what)
{
	union { struct cmsghdr h; char b[CMSG_SPACE(sizeof(int))]; } c;
	struct iovec v = {"x", 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b)};
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);

	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &what, sizeof(int));
	OK(sendmsg(to, &m, 0));
}
static int receive_fd(int from)
{
	union { struct cmsghdr h; char b[CMSG_SPACE(sizeof(int))]; } c;
	struct iovec v = {buf, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof(c.b)};
	int got;

	OK(recvmsg(from, &m, 0));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
	return got;
}
/* receiver returns a child that reads what it receives; it is forked before the
 * open, so that the descriptor is not an inherited one. */
static pid_t receiver(int use)
{
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	pid_t pid = OK(fork());
	if (pid == 0) {
		fd = OK(receive_fd(sockets[1]));
		if (use)
			read_fd();
		_exit(0);
	}
	return pid;
}
static void handed_over(int use)
{
	int status;
	pid_t pid = receiver(use);

	send_fd(sockets[0], rd());
	OK(waitpid(pid, &status, 0));
	OK(status ? -1 : 0);
}
CASE(scm_rights, "open receive@child", "SCM_RIGHTS, received only") { handed_over(0); }
CASE(scm_rights_read, "open receive@child read@child", "SCM_RIGHTS, received and read") { handed_over(1); }
CASE(pidfd_getfd, "open receive@child read@child", "pidfd_getfd(2) by another process, and read", .since = "5.6", .root = 1)
{
	int status, p[2], number;

	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(read(p[0], &number, sizeof(number)));
		fd = OK(syscall(NR_pidfd_getfd, OK(syscall(NR_pidfd_open, getppid(), 0)), number, 0));
		read_fd();
		_exit(0);
	}
	number = rd();
	OK(write(p[1], &number, sizeof(number)));
	OK(waitpid(pid, &status, 0));
	OK(status ? -1 : 0);
}
static void open_proc_fd(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getppid(), fd);
	OK(open(path, O_RDONLY));
}
CASE(proc_fd, "open open@child", "/proc/PID/fd of the process that has it", .root = 1)
{
	fd = OK(fcntl(rd(), F_DUPFD_CLOEXEC, 20));
	child(open_proc_fd);
}
