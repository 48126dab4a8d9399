/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_TYPED_H
#define BEESTING_TYPED_H

/*
 * For programs whose pointers the verifier knows by type (BPF LSM, fentry):
 * plain loads, no bpf_probe_read_kernel, which lockdown=confidentiality refuses.
 *
 * A loaded pointer may have to be checked for NULL before the verifier lets it
 * be followed (__rcu members, since 6.2), so the body always checks.
 */
#define LOAD(pointer, member) ((pointer)->member)

/* Since 5.11. */
#define CURRENT() bpf_get_current_task_btf()

/* bpf_d_path may be called from security_file_open only (5.10), and from the
 * LSM's file_open (5.11). It puts deleted files as "/path (deleted)". */
static __always_inline void exe_path(struct event *e, struct task_struct *task, struct file *exe)
{
	long len = bpf_d_path(&exe->f_path, (char *)e->exe, sizeof(e->exe));

	if (len > 0 && len <= EXE_MAX)
		e->exe_len = len;
	else
		e->bits |= EXE_MISSING;
}

#endif /* BEESTING_TYPED_H */
