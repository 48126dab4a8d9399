//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include "sensor.h"
#include "typed.h"
#include "watch_hash.h"
#include "body.h"

/*
 * For kernels without "bpf" among their LSMs. The same trampoline at the same
 * place, before any LSM has had its say: opens that one of them denies are
 * seen too. arm64 has it since 6.4.
 *
 * Not as truthful on a kernel that preempts: a trampoline skips a tracing
 * program that is already running on the same CPU (__bpf_prog_enter_recur), and
 * the one running may be another task's that was preempted in it. The loader
 * puts kprobe first there. bpf_preempt_disable (6.10) is no cure: the switch
 * then comes with bpf_preempt_enable, which is still inside.
 */
SEC("fentry/security_file_open")
int BPF_PROG(file_open, struct file *file)
{
	on_open(file);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
