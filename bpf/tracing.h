/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_TRACING_H
#define BEESTING_TRACING_H

/* Functions by BPF trampoline: what the LSM and fentry modes have in common. */

#define HAVE_EXIT 1
#define ENTRY(name) SEC("fentry/" #name) int name(void *ctx)
#define EXIT(name) SEC("fexit/" #name) int name##_exit(void *ctx)
#define RESULT(ctx, n) ((long)(int)(long)ARG(ctx, n))

#if defined(__TARGET_ARCH_x86)
#define SYSCALL_OF(regs) ((regs)->orig_ax)
#define THIRD_OF(regs) ((regs)->dx)
#else
#define SYSCALL_OF(regs) (((struct user_pt_regs *)(regs))->regs[8])
#define THIRD_OF(regs) (((struct user_pt_regs *)(regs))->regs[2])
#endif

#endif /* BEESTING_TRACING_H */
