//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include "sensor.h"
#include "typed.h"
#include "watch_storage.h"
#include "body.h"

/*
 * BPF LSM, the mode of choice: the only one with inode storage, works under
 * lockdown, can't be switched off through tracefs. Runs after the other LSMs:
 * what one of those denies never gets here. 5.10 attaches it without a word
 * and never runs it unless lsm= names bpf, hence the loader's self-test.
 */
SEC("lsm/file_open")
int BPF_PROG(file_open, struct file *file)
{
	on_open(file);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
