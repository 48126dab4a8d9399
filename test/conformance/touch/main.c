/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "touch.h"

extern const struct touch *const __start_touches[], *const __stop_touches[];

const char *token, *dir, *name, *scratch, *host, *hard;
int overlay;

/* The exit codes: a case that did not go as it says, and a wrong command line. */
enum { UNEXPECTED = 1, USAGE = 2 };

void die(const char *src, int line, const char *what, long r)
{
	fprintf(stderr, "%s:%d: %s = %ld, %s\n", src, line, what, r,
		errno ? strerrorname_np(errno) : "no error");
	_exit(UNEXPECTED);
}

const char *in(const char *dirname, const char *basename)
{
	char *path;

	if (asprintf(&path, "%s/%s", dirname, basename) < 0)
		abort();
	return path;
}

void child(void (*f)(void))
{
	int status;
	pid_t pid = OK(fork());

	if (pid == 0) {
		f();
		_exit(0);
	}
	OK(waitpid(pid, &status, 0));
	if (status != 0)
		die(__FILE__, __LINE__, "child", status);
}

const char *file(const char *dirname, const char *basename)
{
	const char *path = in(dirname, basename);
	int fd = OK(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755));

	OK(write(fd, "nothing\n", 8));
	OK(close(fd));
	return path;
}

void sensor_reads(void)
{
	OK(raise(SIGSTOP));
}

void own_mounts(void)
{
	OK(unshare(CLONE_NEWNS));
	OK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

static void quote(const char *key, const char *value)
{
	printf("\"%s\":\"", key);
	for (; value && *value; value++) {
		if (*value == '"' || *value == '\\')
			putchar('\\');
		putchar(*value);
	}
	printf("\",");
}

static void number(const char *key, unsigned int value)
{
	printf("\"%s\":%u,", key, value);
}

static void list(void)
{
	for (const struct touch *const *p = __start_touches; p < __stop_touches; p++) {
		const struct touch *t = *p;

		putchar('{');
		quote("name", t->name);
		quote("group", t->group);
		quote("what", t->what);
		quote("kinds", t->kinds);
		quote("overlay", t->overlay ? t->overlay : t->kinds);
		if (t->fanotify)
			quote("fanotify", t->fanotify);
		quote("fanotifySince", t->fanotify_since);
		if (t->lsm)
			quote("lsm", t->lsm);
		if (t->kprobe)
			quote("kprobe", t->kprobe);
		if (t->kprobe || t->kprobe_overlay)
			quote("kprobeOverlay", t->kprobe_overlay ? t->kprobe_overlay : t->kprobe);
		quote("before", t->before);
		quote("old", t->old);
		quote("oldOverlay", t->old_overlay ? t->old_overlay : t->old);
		quote("cant", t->cant);
		quote("detail", t->detail);
		quote("since", t->since);
		quote("again", t->again);
		quote("only", t->only);
		quote("content", t->content);
		number("mode", t->mode ? t->mode : 0755);
		number("owner", t->owned_by_root ? 0 : 1000);
		number("startAs", t->root ? 0 : 1000);
		number("uid", t->uid ? t->uid : t->root ? 0 : 1000);
		number("reads", t->reads);
		number("writes", t->writes);
		number("inherit", t->inherit);
		number("hardlink", t->hardlink);
		number("host", t->host);
		number("rw", t->rw);
		number("noEnd", t->no_end);
		number("lower", t->lower);
		number("reflink", t->reflink);
		printf("\"directory\":%u}\n", t->directory);
	}
}

/* usage: touch --list | touch CASE FORM TOKEN SCRATCH HOST HARD */
int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--list")) {
		list();
		return 0;
	}
	/* What a case executes to read its standard input to the end. */
	if (argc == 2 && !strcmp(argv[1], "cat")) {
		char buf[64];

		while (OK(read(0, buf, sizeof(buf))) > 0)
			;
		return 0;
	}
	/* What the token is when it is executed: argv[1] is this, or the path that
	 * the kernel puts there for a script. */
	if (argc >= 2 && (!strcmp(argv[1], "noop") || argc == 3))
		return 0;
	if (argc != 7)
		return USAGE;
	overlay = !strcmp(argv[2], "overlay");
	token = argv[3];
	name = strrchr(token, '/') + 1;
	dir = strndup(token, name - token - 1);
	scratch = argv[4];
	host = argv[5];
	hard = argv[6];
	for (const struct touch *const *p = __start_touches; p < __stop_touches; p++) {
		if (!strcmp((*p)->name, argv[1])) {
			(*p)->run();
			return 0;
		}
	}
	return USAGE;
}
