//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include "sensor.h"
#include "typed.h"
#include "tracing.h"

/*
 * BPF LSM, the mode of choice: works under lockdown, can't be switched off
 * through tracefs, loses nothing when a task is preempted in it. Runs after the
 * other LSMs: what one of those denies never gets here. 5.10 attaches it without
 * a word and never runs it unless lsm= names bpf, hence the loader's self-test.
 */
#define HOOK(name) SEC("lsm/" #name) int name(void *ctx)

/*
 * Where bpf_d_path may be called: bpf_lsm_is_sleepable_hook (5.11). Of the hooks
 * here that is all that say IF_LSM, but not file_permission.
 */
#define LSM_D_PATH true
#define USE_D_PATH false

#include "hooks.h"
#include "recon.h"

#define ARG_RAW(ctx, n) ARG(ctx, n)
#define LOCKS_REMOVED(name) SEC("tp_btf/locks_remove_posix") int name(void *ctx)
#include "closes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
