/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The guard owns the fanotify group whose permission events make the tasks that
 * touch a token wait. The kernel lets such a task wait for ever, until it is
 * answered, killed, or the group's last descriptor is closed. So the group is in
 * the hands of this small process and not of the agent, which looks at the
 * waiting task: the guard answers when the agent has looked, or 100 ms after the
 * event, whichever is first, and it never does anything that can block.
 *
 * Who guards the guard? A timer of the kernel that ends in SIGKILL. It is wound
 * up again twice a second at least. A guard that is stopped (SIGSTOP, a debugger,
 * the freezer of cgroup v2) or doesn't get a processor is killed by it, dying
 * closes the group, and that lets everybody go. SIGKILL also ends a stopped
 * process, so nobody has to run for this to happen.
 *
 * The agent is at the other end of descriptor 3, a SOCK_SEQPACKET socket. When
 * that ends, so does the guard.
 *
 * There is no C library, no memory but what stands here, and one thread.
 */

#include "sys.h"

/* Messages; the Go side is in wire.go. */
enum type {
	/* from the agent; MARK and UNMARK come with a descriptor */
	MARK = 1, UNMARK, ANSWER, FLUSH,
	/* to the agent */
	READY = 16, EVENT, RESULT, FLUSHED, LATE, LOST, OVERFLOW,
};

struct message {
	u32 type;
	s32 result; /* an error number, or 0 */
	u64 seq;    /* of an EVENT that waits; 0 if it doesn't */
	u64 mask;
	u64 dev, ino;
	u64 time; /* CLOCK_BOOTTIME, ns */
	u32 pid;  /* a thread's id */
	u32 count;
};

enum {
	SOCKET = 3,
	WAITING_MAX = 128, /* tasks that wait for the agent at a time */
	LOST_MAX = 256,
	MISSED_MAX = 2,
};

#define MS 1000000LL
#define ANSWER_WITHIN (100 * MS)
#define DEAD_AFTER (1000 * MS)
#define BEAT (400 * MS)

#define FAN_Q_OVERFLOW 0x4000
#define FAN_PERMISSION 0x70000 /* OPEN_PERM, ACCESS_PERM, OPEN_EXEC_PERM */
#define FAN_ALLOW 1

static struct {
	u64 seq;
	s64 deadline;
	s32 fd;
} waiting[WAITING_MAX];
static int waiters;

/* Events that the agent could not be told: it is stopped, or too slow. */
static struct message lost[LOST_MAX];
static int losts;

/* Answers to the agent for which there was no room: one of each type. */
static struct message result, flushed, overflow;

static s32 group, timer;
static u64 last_seq;
static int missed; /* deadlines since the agent's last answer */

static s64 now(int clock)
{
	struct timespec t = {};

	call(SYS_clock_gettime, clock, (long)&t, 0, 0, 0);
	return t.sec * 1000 * MS + t.nsec;
}

static _Noreturn void end(int code)
{
	for (;;)
		call(SYS_exit_group, code, 0, 0, 0, 0);
}

static void wind_up(void)
{
	struct itimerspec t = {.value = {DEAD_AFTER / (1000 * MS), DEAD_AFTER % (1000 * MS)}};

	if (call(SYS_timer_settime, timer, 0, (long)&t, 0, 0))
		end(10);
}

/* Whether m went out; it didn't where the socket is full. */
static int tell(struct message *m)
{
	struct iovec iov = {m, sizeof(*m)};
	struct msghdr h = {.iov = &iov, .iovlen = 1};
	long n;

	do
		n = call(SYS_sendmsg, SOCKET, (long)&h, 0x4040 /* NOSIGNAL, DONTWAIT */, 0, 0);
	while (n == -EINTR);
	if (n < 0 && n != -EAGAIN)
		end(11); /* the agent has gone */
	return n == sizeof(*m);
}

static void allow(s32 fd)
{
	struct fan_response r = {fd, FAN_ALLOW};

	if (call(SYS_write, group, (long)&r, sizeof(r), 0, 0) != sizeof(r))
		end(12); /* closing the group is an answer as well */
}

static void lose(struct message *m)
{
	int i;

	for (i = 0; i < losts; i++)
		if (lost[i].dev == m->dev && lost[i].ino == m->ino && lost[i].mask == m->mask)
			break;
	if (i == losts && losts < LOST_MAX - 1) {
		lost[losts++] = *m;
	} else if (i == losts) { /* the last one is for all others */
		i = losts = LOST_MAX - 1;
		lost[i].dev = lost[i].ino = 0;
	}
	lost[i].type = LOST;
	lost[i].count++;
}

static void identify(s32 fd, struct message *m)
{
	struct statx st = {};

	/* AT_EMPTY_PATH, AT_STATX_DONT_SYNC: what the kernel has, no round trips */
	if (call(SYS_statx, fd, (long)"", 0x5000, 0x100, (long)&st))
		return;
	m->dev = (u64)st.dev_major << 32 | st.dev_minor;
	m->ino = st.ino;
}

static void take(struct fan_event *e)
{
	struct message m = {.type = EVENT, .mask = e->mask, .pid = e->pid};
	int permission = !!(e->mask & FAN_PERMISSION), wait;

	if (e->mask & FAN_Q_OVERFLOW) {
		overflow.type = OVERFLOW;
		overflow.count++;
	}
	if (e->fd < 0)
		return;
	m.time = now(7 /* CLOCK_BOOTTIME */);
	identify(e->fd, &m);
	wait = permission && missed < MISSED_MAX;
	if (permission)
		m.seq = ++last_seq;
	if (!tell(&m)) {
		lose(&m);
		wait = 0;
	}
	if (wait) {
		waiting[waiters].seq = m.seq;
		waiting[waiters].fd = e->fd;
		waiting[waiters++].deadline = now(1) + ANSWER_WITHIN;
		return;
	}
	if (permission)
		allow(e->fd);
	call(SYS_close, e->fd, 0, 0, 0, 0);
}

/* As many at a time as there is room to wait. Whether there was something. */
static int take_all(void)
{
	static struct fan_event events[32];
	int room = WAITING_MAX - waiters, i;
	long n;

	if (room > 32)
		room = 32;
	if (!room)
		return 0;
	n = call(SYS_read, group, (long)events, room * sizeof(events[0]), 0, 0);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0) /* one event could not be had: its task was refused. Never again. */
		end(13);
	for (i = 0; i < n / (long)sizeof(events[0]); i++) {
		if (events[i].len != sizeof(events[0]) || events[i].version != 3)
			end(14);
		take(&events[i]);
	}
	return 1;
}

static void let_go(int i)
{
	allow(waiting[i].fd);
	call(SYS_close, waiting[i].fd, 0, 0, 0, 0);
	waiting[i] = waiting[--waiters];
}

static void answer(u64 seq)
{
	int i;

	missed = 0;
	for (i = 0; i < waiters; i++)
		if (waiting[i].seq == seq) {
			let_go(i);
			return;
		}
}

/* Answers who has waited long enough; returns until when nobody has. */
static s64 expire(void)
{
	s64 t = now(1), next = t + BEAT;
	int i = 0;

	while (i < waiters) {
		struct message m = {.type = LATE, .seq = waiting[i].seq};

		if (waiting[i].deadline > t) {
			if (waiting[i].deadline < next)
				next = waiting[i].deadline;
			i++;
			continue;
		}
		let_go(i);
		missed++;
		tell(&m); /* the agent can do without */
	}
	return next;
}

static void mark(struct message *m, s32 fd)
{
	u64 flags = m->type == MARK ? 1 : 2; /* FAN_MARK_ADD, FAN_MARK_REMOVE */

	result = (struct message){.type = RESULT, .seq = m->seq};
	result.result = -call(SYS_fanotify_mark, group, flags, m->mask, fd, 0);
}

static void flush(struct message *m)
{
	int i;

	for (i = 0; i < 512 && take_all(); i++)
		;
	flushed = (struct message){.type = FLUSHED, .seq = m->seq};
}

/* One message of the agent. Whether there was one. */
static int listen(void)
{
	struct message m = {};
	struct cmsg_fd c = {.fd = -1};
	struct iovec iov = {&m, sizeof(m)};
	struct msghdr h = {.iov = &iov, .iovlen = 1, .control = &c, .controllen = sizeof(c)};
	long n = call(SYS_recvmsg, SOCKET, (long)&h, 0x40000040 /* CLOEXEC, DONTWAIT */, 0, 0);
	int has_fd = h.controllen >= 20 && c.level == 1 && c.type == 1 /* SCM_RIGHTS */;

	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n != sizeof(m))
		end(n ? 15 : 0); /* 0: the agent has gone */
	switch (m.type) {
	case ANSWER:
		answer(m.seq);
		break;
	case FLUSH:
		flush(&m);
		break;
	case MARK:
	case UNMARK:
		mark(&m, has_fd ? c.fd : -1);
	}
	if (has_fd)
		call(SYS_close, c.fd, 0, 0, 0, 0);
	return 1;
}

/* Whether everything that was put off has been told. */
static int catch_up(void)
{
	while (losts && tell(&lost[losts - 1]))
		memset(&lost[--losts], 0, sizeof(lost[0]));
	if (overflow.type && tell(&overflow))
		overflow.type = overflow.count = 0;
	if (result.type && tell(&result))
		result.type = 0;
	if (!losts && flushed.type && tell(&flushed))
		flushed.type = 0;
	return !losts && !overflow.type && !result.type && !flushed.type;
}

static void set_up(void)
{
	struct sigevent dead = {.signo = 9};
	u64 every = ~0ULL;
	struct message m = {.type = READY};

	/* Only SIGKILL and the end of the socket end it. */
	call(SYS_rt_sigprocmask, 0, (long)&every, 0, sizeof(every), 0);
	if (call(SYS_timer_create, 1, (long)&dead, (long)&timer, 0, 0))
		end(16);
	wind_up();
	call(SYS_prctl, 15 /* PR_SET_NAME */, (long)"beesting-guard", 0, 0, 0);
	/* It has to run at once and can't wait for a page. Both may be refused. */
	call(SYS_setpriority, 0, 0, -20, 0, 0);
	call(SYS_mlockall, 3 /* CURRENT, FUTURE */, 0, 0, 0, 0);
	/* CLOEXEC, NONBLOCK, CLASS_CONTENT, UNLIMITED_MARKS, REPORT_TID. The queue
	 * stays bounded: the kernel lets a task go for which there is no room. */
	group = call(SYS_fanotify_init, 0x127, O_CLOEXEC | O_NONBLOCK | O_NOATIME | O_LARGEFILE, 0, 0, 0);
	m.result = group < 0 ? -group : 0;
	if (!tell(&m) || group < 0)
		end(17);
}

_Noreturn void run(void)
{
	set_up();
	for (;;) {
		int i, told = catch_up();
		s64 wait = expire() - now(1);
		struct timespec t = {0, wait > 0 ? wait : 0};
		struct pollfd fds[2] = {
			{SOCKET, told ? 1 : 5 /* IN, OUT */, 0},
			{waiters < WAITING_MAX ? group : -1, 1, 0},
		};

		call(SYS_ppoll, (long)fds, 2, (long)&t, 0, 8);
		wind_up();
		for (i = 0; fds[0].revents && i < 64 && listen(); i++)
			;
		take_all();
	}
}
