/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_TYPED_H
#define BEESTING_TYPED_H

/*
 * For programs whose pointers the verifier knows by type (BPF LSM, fentry,
 * fexit, tp_btf): plain loads, no bpf_probe_read_kernel, which
 * lockdown=confidentiality refuses.
 *
 * A loaded pointer may have to be checked for NULL before the verifier lets it
 * be followed (__rcu members, since 6.2), so callers always check.
 */
#define LOAD(pointer, member) ((pointer)->member)
/*
 * The same value off the hot paths. For each typed load the verifier of 6.2 to
 * 6.18 searches all of the kernel's types several times, by name and one by one
 * (btf_nested_type_is_trusted): two seconds a program in an emulator. So where
 * memory may be probed it is.
 */
#define FETCH(pointer, member) (may_probe ? BPF_CORE_READ(pointer, member) : (pointer)->member)

/* A member of eight bytes whose own members have changed. */
#define FETCH_WORD(pointer, member)                                                         \
	({                                                                                  \
		__u64 *at = (__u64 *)__builtin_preserve_access_index(&(pointer)->member);   \
		__u64 word = 0;                                                             \
		if (may_probe)                                                              \
			bpf_probe_read_kernel(&word, sizeof(word), at);                     \
		else                                                                        \
			word = *at;                                                         \
		word;                                                                       \
	})
#define PATH_OF(pointer, member) (&(pointer)->member)

/* Since 5.11. */
#define CURRENT() bpf_get_current_task_btf()

/* By hand, so that the compiler doesn't choose between two by a computed offset. */
#define ARG(ctx, n)                                                              \
	({                                                                       \
		void *arg;                                                       \
		asm volatile("%0 = *(u64 *)(%1 + %2)"                            \
			     : "=r"(arg)                                         \
			     : "r"(ctx), "i"(((n) - 1) * 8));                    \
		arg;                                                             \
	})

/*
 * The verifier forbids arithmetic with a pointer, but for the difference of two
 * (4.13): the address as seen from the filter's, which is as good.
 */
#define ADDRESS(pointer) ((__u64)((long)(pointer) - (long)&filter))

#define HAVE_D_PATH 1

/* The new value. Since 5.12. */
#define INCREMENT(pointer) (__sync_fetch_and_add(pointer, 1) + 1)

static __always_inline void copy_comm(__u8 *to, struct task_struct *task)
{
	__u64 *name = (__u64 *)__builtin_preserve_access_index(&task->comm);

	if (may_probe) {
		bpf_probe_read_kernel(to, 16, name);
	} else {
		((__u64 *)to)[0] = name[0];
		((__u64 *)to)[1] = name[1];
	}
}

#endif /* BEESTING_TYPED_H */
