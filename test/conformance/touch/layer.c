/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A token of an overlay's lower layer, and the copy that the first change makes. */
#include "touch.h"

CASE(lower_open, "open", "a file of the lower layer, read", .only = "overlay", .lower = 1, .reads = 1)
{
	char buf[8];

	OK(read(OK(open(token, O_RDONLY)), buf, sizeof(buf)));
}
CASE(lower_exec, "exec/open", "a file of the lower layer, executed", .only = "overlay", .lower = 1, .content = "elf")
{
	char *const argv[] = {(char *)token, "noop", NULL};

	OK(execv(token, argv));
}
CASE(lower_stat, "stat", "a file of the lower layer, asked for attributes", .only = "overlay", .lower = 1)
{
	struct stat st;

	OK(stat(token, &st));
}
CASE(lower_host, "open", "a file of the lower layer, by its path on the host", .only = "overlay", .lower = 1, .root = 1, .host = 1)
{
	OK(open(host, O_RDONLY));
}
CASE(copy_up_write, "open", "opened for writing, so copied up, and written", .only = "overlay", .lower = 1, .writes = 1)
{
	OK(write(OK(open(token, O_WRONLY)), "x", 1));
}
CASE(copy_up_chmod, "setattr", "chmod(2), so copied up", .only = "overlay", .lower = 1) { OK(chmod(token, 0700)); }
CASE(copy_up_link, "link", "link(2), so copied up", .only = "overlay", .lower = 1) { OK(link(token, in(scratch, "to"))); }
CASE(copy_up_then_read, "open x2", "copied up, then opened again for reading", .only = "overlay", .lower = 1)
{
	OK(close(OK(open(token, O_WRONLY))));
	sensor_reads();
	OK(open(token, O_RDONLY));
}
CASE(copy_up_then_host, "open x2", "copied up, then the copy opened by its path on the host", .fanotify = "open", .only = "overlay", .lower = 2, .root = 1)
{
	OK(close(OK(open(token, O_WRONLY))));
	sensor_reads();
	OK(open(host, O_RDONLY));
}
