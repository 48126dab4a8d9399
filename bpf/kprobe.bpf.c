//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include "sensor.h"
#include "probed.h"
#include "watch_hash.h"
#include "body.h"

/*
 * The way of the first proof of concept and the last resort: a breakpoint or
 * ftrace call in every open, on any kernel since 5.8 that has BTF. Closed under
 * lockdown=confidentiality; root can switch it off through tracefs.
 */
SEC("kprobe/security_file_open")
int BPF_KPROBE(file_open, struct file *file)
{
	on_open(file);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
