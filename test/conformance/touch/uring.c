/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* io_uring: inline, by a worker, by the polling thread. The actor is who
 * submitted. */
#include "touch.h"
#include <linux/io_uring.h>
#ifndef STATX_BASIC_STATS
#include <linux/stat.h>
#endif

enum way { INLINE, WORKER, POLLED };

/* Not in Linux 6.1's headers. */
enum { OP_FIXED_FD_INSTALL = 54 };

static char buf[64];

static void barrier(void) { __sync_synchronize(); }

static void *ring_map(int ring, size_t size, off_t at)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, at);

	OK(p == MAP_FAILED ? -1 : 0);
	return p;
}

/* ring is one, of which entries are run one after the other. */
struct ring {
	int fd;
	unsigned done;
	struct io_uring_params p;
	char *sq, *cq;
	struct io_uring_sqe *sqe;
};

static struct ring new_ring(enum way way)
{
	struct ring r = {.p = {.flags = way == POLLED ? IORING_SETUP_SQPOLL : 0, .sq_thread_idle = 100}};

	r.fd = OK(syscall(SYS_io_uring_setup, 1, &r.p));
	r.sq = ring_map(r.fd, r.p.sq_off.array + 4 * r.p.sq_entries, IORING_OFF_SQ_RING);
	r.cq = ring_map(r.fd, r.p.cq_off.cqes + r.p.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
	r.sqe = ring_map(r.fd, r.p.sq_entries * sizeof(*r.sqe), IORING_OFF_SQES);
	return r;
}

/* run runs one entry and returns its result, negative for an error. */
static int run(struct ring *r, struct io_uring_sqe entry)
{
	int res;

	*r->sqe = entry;
	*(unsigned *)(r->sq + r->p.sq_off.array) = 0;
	barrier();
	*(unsigned *)(r->sq + r->p.sq_off.tail) = r->done + 1;
	barrier();
	OK(syscall(SYS_io_uring_enter, r->fd, 1, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_SQ_WAKEUP, NULL, 0));
	res = ((struct io_uring_cqe *)(r->cq + r->p.cq_off.cqes))[r->done % r->p.cq_entries].res;
	*(unsigned *)(r->cq + r->p.cq_off.head) = ++r->done;
	return res;
}

/* submit runs one entry on a ring of its own. */
static int submit(enum way way, struct io_uring_sqe entry)
{
	struct ring r = new_ring(way);

	if (way == WORKER)
		entry.flags |= IOSQE_ASYNC;
	return run(&r, entry);
}

static int result(int r)
{
	errno = r < 0 ? -r : 0;
	return r < 0 ? -1 : r;
}

static void ring_open(enum way way)
{
	struct io_uring_sqe e = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)token};

	OK(close(OK(result(submit(way, e)))));
}
CASE(uring_open, "open", "IORING_OP_OPENAT, inline") { ring_open(INLINE); }
CASE(uring_open_worker, "open", "IORING_OP_OPENAT, IOSQE_ASYNC") { ring_open(WORKER); }
CASE(uring_open_polled, "open", "IORING_OP_OPENAT, SQPOLL", .root = 1) { ring_open(POLLED); }

static void ring_openat2(enum way way)
{
	struct how how = {.flags = O_RDONLY};
	struct io_uring_sqe e = {.opcode = IORING_OP_OPENAT2, .fd = AT_FDCWD, .addr = (uintptr_t)token, .len = sizeof(how), .addr2 = (uintptr_t)&how};

	OK(close(OK(result(submit(way, e)))));
}
CASE(uring_openat2, "open", "IORING_OP_OPENAT2, inline") { ring_openat2(INLINE); }

static void ring_read(enum way way, int fd)
{
	struct io_uring_sqe e = {.opcode = IORING_OP_READ, .fd = fd, .addr = (uintptr_t)buf, .len = 8};

	OK(result(submit(way, e)));
}
CASE(uring_own_read, "open", "IORING_OP_READ of the own open, inline", .reads = 1) { ring_read(INLINE, OK(open(token, O_RDONLY))); }
CASE(uring_own_read_worker, "open", "IORING_OP_READ of the own open, IOSQE_ASYNC") { ring_read(WORKER, OK(open(token, O_RDONLY))); }
CASE(uring_own_read_polled, "open", "IORING_OP_READ of the own open, SQPOLL", .root = 1, .since = "5.11") { ring_read(POLLED, OK(open(token, O_RDONLY))); }
CASE(uring_inherit_read, "read", "IORING_OP_READ of an inherited descriptor, inline; before 6.1 twice where a worker has to try again", .inherit = 1, .again = "6.1") { ring_read(INLINE, 3); }
CASE(uring_inherit_read_worker, "read", "IORING_OP_READ of an inherited descriptor, IOSQE_ASYNC", .inherit = 1) { ring_read(WORKER, 3); }

/* keep puts a file into a ring's own table, which is no descriptor any more; -1
 * is a free place in it. */
static void keep(struct ring *r, int fd)
{
	OK(syscall(SYS_io_uring_register, r->fd, IORING_REGISTER_FILES, &fd, 1));
}
static void read_kept(struct ring *r)
{
	struct io_uring_sqe e = {.opcode = IORING_OP_READ, .flags = IOSQE_FIXED_FILE, .fd = 0, .addr = (uintptr_t)buf, .len = 8};

	OK(result(run(r, e)));
}
CASE(uring_own_read_kept, "open", "IORING_OP_READ of the own open from the ring's table, its descriptor closed", .reads = 1)
{
	struct ring r = new_ring(INLINE);
	int fd = OK(open(token, O_RDONLY));

	keep(&r, fd);
	OK(close(fd));
	read_kept(&r);
}
CASE(uring_inherit_read_kept, "read", "IORING_OP_READ of an inherited descriptor from the ring's table; before 6.1 twice where a worker has to try again", .inherit = 1, .again = "6.1")
{
	struct ring r = new_ring(INLINE);

	keep(&r, 3);
	read_kept(&r);
}

/* handed_over makes a child with a ring of its own, and puts the token into that
 * ring's table by IORING_OP_MSG_RING. */
static void handed_over(void (*use)(struct ring *))
{
	struct ring ours = new_ring(INLINE), theirs = new_ring(INLINE);
	struct io_uring_sqe e = {.opcode = IORING_OP_MSG_RING, .fd = theirs.fd, .addr = IORING_MSG_SEND_FD, .file_index = 1};
	int status, p[2];

	keep(&theirs, -1);
	OK(pipe(p));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(read(p[0], buf, 1));
		theirs.done = 1; /* the message */
		*(unsigned *)(theirs.cq + theirs.p.cq_off.head) = 1;
		use(&theirs);
		_exit(0);
	}
	keep(&ours, OK(open(token, O_RDONLY)));
	OK(result(run(&ours, e)));
	OK(write(p[1], "x", 1));
	OK(waitpid(pid, &status, 0));
	OK(status ? -1 : 0);
}
CASE(uring_message, "open read@child", "IORING_OP_MSG_RING into another process's ring, which reads", .since = "6.0") { handed_over(read_kept); }
static void install(struct ring *r)
{
	struct io_uring_sqe e = {.opcode = OP_FIXED_FD_INSTALL, .flags = IOSQE_FIXED_FILE, .fd = 0};

	OK(pread(OK(result(run(r, e))), buf, 8, 0));
}
CASE(uring_message_install, "open receive@child read@child", "the same, made a descriptor by IORING_OP_FIXED_FD_INSTALL and read", .since = "6.8") { handed_over(install); }
static void ring_stat(enum way way)
{
	struct statx sx;
	struct io_uring_sqe e = {.opcode = IORING_OP_STATX, .fd = AT_FDCWD, .addr = (uintptr_t)token, .len = STATX_BASIC_STATS, .off = (uintptr_t)&sx};

	OK(result(submit(way, e)));
}
CASE(uring_stat, "stat", "IORING_OP_STATX, inline") { ring_stat(INLINE); }
CASE(uring_stat_worker, "stat", "IORING_OP_STATX, IOSQE_ASYNC") { ring_stat(WORKER); }
CASE(uring_stat_polled, "stat", "IORING_OP_STATX, SQPOLL", .root = 1) { ring_stat(POLLED); }

CASE(uring_symlink, "symlink", "IORING_OP_SYMLINKAT", .since = "5.15")
{
	struct io_uring_sqe e = {.opcode = IORING_OP_SYMLINKAT, .fd = AT_FDCWD, .addr = (uintptr_t)token, .addr2 = (uintptr_t)in(scratch, "to")};

	OK(result(submit(INLINE, e)));
}
CASE(uring_unlink, "unlink!EBUSY", "IORING_OP_UNLINKAT", .overlay = "unlink", .since = "5.11")
{
	struct io_uring_sqe e = {.opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, .addr = (uintptr_t)token};
	int r = submit(INLINE, e);

	if (overlay)
		OK(result(r));
	else
		REFUSED(EBUSY, result(r));
}
CASE(uring_getxattr, "xattr", "IORING_OP_GETXATTR", .since = "5.19")
{
	struct io_uring_sqe e = {.opcode = IORING_OP_GETXATTR, .fd = 0, .addr = (uintptr_t)"user.beesting", .addr2 = (uintptr_t)buf, .len = 8, .addr3 = (uintptr_t)token};

	EITHER(ENODATA, EOPNOTSUPP, result(submit(INLINE, e)));
}
CASE(uring_openat_refused, "open!EACCES^recon", "IORING_OP_OPENAT against the file's mode", .owned_by_root = 1, .mode = 0600)
{
	struct io_uring_sqe e = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (uintptr_t)token};

	REFUSED(EACCES, result(submit(INLINE, e)));
}
