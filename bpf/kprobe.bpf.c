//go:build ignore

/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#include "sensor.h"
#include "probed.h"

/*
 * The way of the first proof of concept and the last resort: a breakpoint or
 * ftrace call in every function, on any kernel since 5.8 that has BTF. Closed
 * under lockdown=confidentiality; root can switch it off through tracefs.
 */
#define HAVE_EXIT 0
#define HOOK(name) SEC("kprobe/security_" #name) int name(void *ctx)
#define ENTRY(name) SEC("kprobe/" #name) int name(void *ctx)
#define EXIT(name) SEC("kprobe/" #name) int name##_exit(void *ctx)
#define RESULT(ctx, n) 0

#define LSM_D_PATH false
#define USE_D_PATH false

#include "hooks.h"
#include "recon.h"

#define ARG_RAW(ctx, n) ((void *)((unsigned long long *)(ctx))[(n) - 1])
#define LOCKS_REMOVED(name) SEC("raw_tp/locks_remove_posix") int name(void *ctx)
#include "closes.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
