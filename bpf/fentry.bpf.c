//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include "sensor.h"
#include "typed.h"
#include "tracing.h"

/*
 * For kernels without "bpf" among their LSMs. The same trampoline at the same
 * places, before any LSM has had its say: what one of them denies is seen too.
 * arm64 has it since 6.4.
 *
 * Not as truthful on a kernel that preempts: a trampoline skips a tracing
 * program that is already running on the same CPU (__bpf_prog_enter_recur), and
 * the one running may be another task's that was preempted in it. The loader
 * puts kprobe first there. bpf_preempt_disable (6.10) is no cure: the switch
 * then comes with bpf_preempt_enable, which is still inside.
 */
#define HOOK(name) SEC("fentry/security_" #name) int name(void *ctx)

/*
 * Where bpf_d_path may be called: security_file_open, security_file_permission
 * and security_inode_getattr (btf_allowlist_d_path, 5.10).
 */
#define LSM_D_PATH false
#define USE_D_PATH true

#include "hooks.h"
#include "recon.h"

#define ARG_RAW(ctx, n) ARG(ctx, n)
#define LOCKS_REMOVED(name) SEC("tp_btf/locks_remove_posix") int name(void *ctx)
#include "closes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
