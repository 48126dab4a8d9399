/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_PROBED_H
#define BEESTING_PROBED_H

/*
 * For kprobes, whose pointers are mere numbers to the verifier: every read goes
 * through bpf_probe_read_kernel, and bpf_d_path can't be had.
 */
#define LOAD(pointer, member) BPF_CORE_READ(pointer, member)
#define FETCH(pointer, member) LOAD(pointer, member)
#define PATH_OF(pointer, member) \
	((void *)(pointer) + bpf_core_field_offset(typeof(*(pointer)), member))
#define FETCH_WORD(pointer, member)                                                     \
	({                                                                             \
		__u64 word = 0;                                                        \
		bpf_probe_read_kernel(&word, sizeof(word), PATH_OF(pointer, member));  \
		word;                                                                  \
	})
#define CURRENT() ((struct task_struct *)bpf_get_current_task())
#define ARG(ctx, n) ((void *)PT_REGS_PARM##n##_CORE((struct pt_regs *)(ctx)))
#define ADDRESS(pointer) ((__u64)(pointer))
#define HAVE_D_PATH 0

/* Two threads may get the same number; user space goes by the highest. */
#define INCREMENT(pointer) (__sync_fetch_and_add(pointer, 1), *(volatile __u64 *)(pointer))

static __always_inline void copy_comm(__u8 *to, struct task_struct *task)
{
	bpf_probe_read_kernel(to, 16, PATH_OF(task, comm));
}

#endif /* BEESTING_PROBED_H */
