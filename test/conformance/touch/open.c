/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Opens: every system call, flag and path that leads to the token. */
#include "touch.h"
#include <linux/loop.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

static void opened(int fd)
{
	OK(fd);
	OK(close(fd));
}

static int openat2_(const char *path, uint64_t flags, uint64_t resolve, int at)
{
	struct how how = {.flags = flags, .resolve = resolve};

	return syscall(NR_openat2, at, path, &how, sizeof(how));
}

enum { NO_XDEV = 1, NO_MAGIC = 2, NO_SYMLINKS = 4, BENEATH = 8, IN_ROOT = 16, CACHED = 32 };

CASE(open, "open", "open(2), read-only")
{
#ifdef SYS_open
	opened(syscall(SYS_open, token, O_RDONLY));
#else
	opened(openat(AT_FDCWD, token, O_RDONLY)); /* arm64 has no open(2) */
#endif
}
CASE(openat_absolute, "open", "openat(AT_FDCWD)") { opened(openat(AT_FDCWD, token, O_RDONLY)); }
CASE(openat_relative, "open", "openat with the directory's descriptor")
{
	int at = OK(open(dir, O_PATH | O_DIRECTORY));

	opened(openat(at, name, O_RDONLY));
}
CASE(open_cwd, "open", "a relative path") { OK(chdir(dir)); opened(open(name, O_RDONLY)); }
CASE(open_write, "open", "O_WRONLY", .rw = 1) { opened(open(token, O_WRONLY)); }
CASE(open_rdwr, "open", "O_RDWR", .rw = 1) { opened(open(token, O_RDWR)); }
CASE(open_append, "open", "O_APPEND and a write", .rw = 1)
{
	int fd = OK(open(token, O_WRONLY | O_APPEND));

	OK(write(fd, "x", 1));
	OK(close(fd));
}
CASE(open_trunc, "open", "O_TRUNC: part of the open", .rw = 1) { opened(open(token, O_WRONLY | O_TRUNC)); }
CASE(creat, "open", "creat(2)", .rw = 1) { opened(creat(token, 0644)); }
CASE(open_creat, "open", "O_CREAT of what is there", .rw = 1) { opened(open(token, O_RDWR | O_CREAT, 0644)); }
CASE(open_mode_3, "open", "access mode 3, for ioctls only") { opened(open(token, 3)); }
CASE(open_noatime, "open", "O_NOATIME") { opened(open(token, O_RDONLY | O_NOATIME)); }
CASE(open_nofollow, "open", "O_NOFOLLOW on the file itself") { opened(open(token, O_RDONLY | O_NOFOLLOW)); }
CASE(open_nonblock, "open", "O_NONBLOCK") { opened(open(token, O_RDONLY | O_NONBLOCK)); }
CASE(openat2, "open", "openat2(2)") { opened(openat2_(token, O_RDONLY, 0, AT_FDCWD)); }
CASE(openat2_beneath, "open", "openat2 with RESOLVE_BENEATH")
{
	opened(openat2_(name, O_RDONLY, BENEATH, OK(open(dir, O_PATH))));
}
CASE(openat2_in_root, "open", "openat2 with RESOLVE_IN_ROOT")
{
	opened(openat2_(in("", name), O_RDONLY, IN_ROOT, OK(open(dir, O_PATH))));
}
CASE(openat2_no_links, "open", "openat2 with RESOLVE_NO_SYMLINKS and NO_MAGICLINKS")
{
	opened(openat2_(token, O_RDONLY, NO_SYMLINKS | NO_MAGIC, AT_FDCWD));
}
CASE(openat2_no_xdev, "", "openat2 with RESOLVE_NO_XDEV", .overlay = "open",
     .cant = "the walk ends before the bind mount: the token is not reached")
{
	int at = OK(open(dir, O_PATH));

	if (overlay)
		opened(openat2_(name, O_RDONLY, NO_XDEV, at));
	else
		REFUSED(EXDEV, openat2_(name, O_RDONLY, NO_XDEV, at));
}
CASE(openat2_cached, "open", "openat2 with RESOLVE_CACHED", .since = "5.12")
{
	opened(openat2_(token, O_RDONLY, CACHED, AT_FDCWD));
}
CASE(open_twice, "open x2", "two opens") { opened(open(token, O_RDONLY)); opened(open(token, O_RDONLY)); }
CASE(open_many, "open x100", "a hundred opens, coalesced")
{
	for (int i = 0; i < 100; i++)
		opened(open(token, O_RDONLY));
}
CASE(open_at_exit, "open", "never closed: the process ends") { OK(open(token, O_RDONLY)); }
CASE(open_killed, "open@child", "a process that opens it and is killed")
{
	int status, pipes[2];
	char c;

	OK(pipe(pipes));
	pid_t pid = OK(fork());
	if (pid == 0) {
		OK(open(token, O_RDONLY));
		OK(write(pipes[1], "x", 1));
		pause();
	}
	OK(read(pipes[0], &c, 1));
	OK(kill(pid, SIGKILL));
	OK(waitpid(pid, &status, 0));
}

/* Paths. */
CASE(open_symlink, "open", "through a symbolic link to its directory")
{
	OK(symlink(dir, in(scratch, "d")));
	opened(open(in(in(scratch, "d"), name), O_RDONLY));
}
CASE(open_symlink_nofollow, "symlink", "O_NOFOLLOW on a link to it: only making the link counts")
{
	OK(symlink(token, in(scratch, "l")));
	REFUSED(ELOOP, open(in(scratch, "l"), O_RDONLY | O_NOFOLLOW));
}
CASE(open_symlink_to_it, "symlink open", "a link to it made and followed")
{
	OK(symlink(token, in(scratch, "l")));
	opened(open(in(scratch, "l"), O_RDONLY));
}
CASE(open_dots, "open", "a path with .. and //")
{
	opened(open(in(in(dir, ".././/"), in(strrchr(dir, '/'), name)), O_RDONLY));
}
CASE(open_hardlink, "open", "through a hard link", .hardlink = 1, .root = 1) { opened(open(hard, O_RDONLY)); }
CASE(open_host, "open", "on the host: below the bind mount, in the upper directory", .root = 1, .host = 1)
{
	opened(open(host, O_RDONLY));
}
CASE(open_proc_root, "open", "/proc/PID/root of another process")
{
	char path[4096];
	pid_t pid = OK(fork());

	if (pid == 0) {
		pause();
		_exit(0);
	}
	snprintf(path, sizeof(path), "/proc/%d/root%s", pid, token);
	opened(open(path, O_RDONLY));
	kill(pid, SIGKILL);
	OK(waitpid(pid, NULL, 0));
}
CASE(open_proc_cwd, "open", "/proc/self/cwd") { OK(chdir(dir)); opened(open(in("/proc/self/cwd", name), O_RDONLY)); }
CASE(open_bind, "mount open", "through another bind mount of it", .root = 1)
{
	const char *other = file(scratch, "b");

	own_mounts();
	OK(mount(token, other, NULL, MS_BIND, NULL));
	opened(open(other, O_RDONLY));
}
CASE(open_bind_dir, "mount open", "through a bind mount of its directory, with what is mounted there", .overlay = "open", .root = 1)
{
	const char *other = in(scratch, "b");

	own_mounts();
	OK(mkdir(other, 0755));
	OK(mount(dir, other, NULL, MS_BIND | MS_REC, NULL));
	opened(open(in(other, name), O_RDONLY));
}

/* Who opens. */
static void *in_thread(void *arg)
{
	(void)arg;
	opened(open(token, O_RDONLY));
	return NULL;
}
CASE(open_thread, "open", "by another thread of the process")
{
	pthread_t t;

	if (pthread_create(&t, NULL, in_thread, NULL) != 0)
		die(__FILE__, __LINE__, "thread", 0);
	pthread_join(t, NULL);
}
static void in_child(void) { opened(open(token, O_RDONLY)); }
CASE(open_child, "open@child", "by a forked process") { child(in_child); }
CASE(open_parent_and_child, "open open@child", "by both: two processes")
{
	opened(open(token, O_RDONLY));
	child(in_child);
}
CASE(open_chroot, "open", "in a chroot", .root = 1)
{
	OK(chroot(dir));
	OK(chdir("/"));
	opened(open(in("", name), O_RDONLY));
}
CASE(open_user_namespace, "open", "in a user namespace of its own")
{
	OK(unshare(CLONE_NEWUSER));
	opened(open(token, O_RDONLY));
}
CASE(open_pid_namespace, "open@child", "as process 1 of a pid namespace", .root = 1)
{
	OK(unshare(CLONE_NEWPID));
	child(in_child);
}
CASE(open_mount_namespace, "open", "in a mount namespace of its own", .root = 1)
{
	own_mounts();
	opened(open(token, O_RDONLY));
}
CASE(open_setuid, "open", "as root that has become user 65534", .root = 1, .uid = 65534)
{
	OK(setresgid(65534, 65534, 65534));
	OK(setresuid(65534, 65534, 65534));
	opened(open(token, O_RDONLY));
}
CASE(open_renamed_process, "open", "under another name and with other arguments")
{
	extern char *program_invocation_name;

	memset(program_invocation_name, 'x', strlen(program_invocation_name));
	opened(open(token, O_RDONLY));
}
#ifdef __x86_64__
CASE(open_int80, "open", "the 32-bit open(2), int 0x80 (amd64)")
{
	char *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	long fd;

	if (low == MAP_FAILED)
		die(__FILE__, __LINE__, "mmap", -1);
	strcpy(low, token);
	__asm__ volatile("int $0x80" : "=a"(fd) : "a"(5L), "b"(low), "c"(0L), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
	errno = fd < 0 ? (int)-fd : 0;
	opened(fd);
}
#endif

/* By the kernel, on behalf of the process. */
CASE(swapon, "open", "swapon(2) of it, which is no swap area", .root = 1, .rw = 1)
{
	/* EINVAL: no swap area, or a file system that has none. */
	REFUSED(EINVAL, syscall(SYS_swapon, token, 0));
}
/* loop_device makes one of the file, and lets go of it when the process ends. */
static int loop_device(int fd)
{
	char path[32];
	int control, device;

	/* The module makes the node, and opening the node loads the module. */
	EITHER(EEXIST, EEXIST, mknod("/dev/loop-control", S_IFCHR | 0600, makedev(10, 237)));
	control = OK(open("/dev/loop-control", O_RDWR));
	snprintf(path, sizeof(path), "/dev/loop%ld", OK(ioctl(control, LOOP_CTL_GET_FREE)));
	device = OK(open(path, O_RDONLY));
	OK(ioctl(device, LOOP_SET_FD, fd));
	return device;
}
CASE(loop_device, "open", "a loop device made of it", .root = 1)
{
	int device = loop_device(OK(open(token, O_RDONLY)));

	OK(ioctl(device, LOOP_CLR_FD));
}
