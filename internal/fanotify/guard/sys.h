/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BEESTING_SYS_H
#define BEESTING_SYS_H

/*
 * The kernel's interface without a C library and without its headers: the same
 * few lines serve both architectures, and the compiler of one makes the program
 * of the other. Numbers and layouts are the kernel's user ABI.
 */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

#if defined(__x86_64__)
enum {
	SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_rt_sigprocmask = 14, SYS_sendmsg = 46,
	SYS_recvmsg = 47, SYS_setpriority = 141, SYS_mlockall = 151, SYS_prctl = 157,
	SYS_timer_create = 222, SYS_timer_settime = 223, SYS_clock_gettime = 228,
	SYS_exit_group = 231, SYS_ppoll = 271, SYS_fanotify_init = 300, SYS_fanotify_mark = 301,
	SYS_statx = 332,
};
#define O_LARGEFILE 0x8000

static inline long call(long n, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;

	__asm__ volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return n;
}

__asm__(".globl _start\n_start:\n xor %ebp, %ebp\n and $-16, %rsp\n call run\n ud2\n");
#elif defined(__aarch64__)
enum {
	SYS_close = 57, SYS_read = 63, SYS_write = 64, SYS_ppoll = 73, SYS_exit_group = 94,
	SYS_timer_create = 107, SYS_timer_settime = 110, SYS_clock_gettime = 113,
	SYS_rt_sigprocmask = 135, SYS_setpriority = 140, SYS_prctl = 167, SYS_sendmsg = 211,
	SYS_recvmsg = 212, SYS_mlockall = 230, SYS_fanotify_init = 262, SYS_fanotify_mark = 263,
	SYS_statx = 291,
};
#define O_LARGEFILE 0x20000

static inline long call(long n, long a, long b, long c, long d, long e)
{
	register long x8 __asm__("x8") = n;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
	return x0;
}

__asm__(".globl _start\n_start:\n mov x29, #0\n bl run\n brk #1\n");
#else
#error "amd64 and arm64 only"
#endif

#define O_NONBLOCK 0x800
#define O_NOATIME 0x40000
#define O_CLOEXEC 0x80000

enum { EINTR = 4, EAGAIN = 11 };

struct timespec {
	s64 sec, nsec;
};

struct itimerspec {
	struct timespec interval, value;
};

struct sigevent {
	u64 value;
	s32 signo, notify;
	u8 pad[48];
};

struct pollfd {
	s32 fd;
	u16 events, revents;
};

struct iovec {
	void *base;
	u64 len;
};

struct msghdr {
	void *name;
	u32 namelen;
	struct iovec *iov;
	u64 iovlen;
	void *control;
	u64 controllen;
	u32 flags;
};

struct cmsg_fd {
	u64 len;
	s32 level, type;
	s32 fd, pad;
};

struct statx {
	u32 mask, blksize;
	u64 attributes;
	u32 nlink, uid, gid;
	u16 mode, pad;
	u64 ino, size, blocks, attributes_mask;
	u8 times[64];
	u32 rdev_major, rdev_minor, dev_major, dev_minor;
	u8 spare[112];
};

struct fan_event {
	u32 len;
	u8 version, reserved;
	u16 metadata_len;
	u64 mask;
	s32 fd, pid;
};

struct fan_response {
	s32 fd;
	u32 response;
};

/* The compiler calls these on its own account. */
void *memset(void *to, int byte, unsigned long n)
{
	volatile u8 *p = to;

	while (n--)
		*p++ = byte;
	return to;
}

void *memcpy(void *to, const void *from, unsigned long n)
{
	volatile u8 *p = to;
	const u8 *q = from;

	while (n--)
		*p++ = *q++;
	return to;
}

#endif /* BEESTING_SYS_H */
