/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_PROBED_H
#define BEESTING_PROBED_H

/*
 * For kprobes, whose pointers are mere numbers to the verifier: every read goes
 * through bpf_probe_read_kernel, and bpf_d_path can't be had.
 */
#define LOAD(pointer, member) BPF_CORE_READ(pointer, member)
#define CURRENT() ((struct task_struct *)bpf_get_current_task())

#define NAME_MAX 255 /* include/uapi/linux/limits.h */
#define DEPTH_MAX 48 /* components and mounts of a program's path */

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/*
 * What d_path does, bounded: from the file up to the root of the process,
 * crossing mounts. The names come out last first; the decoder turns them round.
 */
static __always_inline void exe_path(struct event *e, struct task_struct *task, struct file *exe)
{
	struct dentry *dentry = LOAD(exe, f_path.dentry), *parent;
	struct vfsmount *mnt = LOAD(exe, f_path.mnt);
	struct fs_struct *fs = LOAD(task, fs);
	struct dentry *root = LOAD(fs, root.dentry);
	struct vfsmount *root_mnt = LOAD(fs, root.mnt);
	__u32 used = 0;
	long n;

	e->bits |= EXE_REVERSED;
	if (!LOAD(dentry, d_hash.pprev))
		e->bits |= EXE_DELETED;
	for (int i = 0; i < DEPTH_MAX; i++) {
		if (dentry == root && mnt == root_mnt)
			goto out;
		parent = LOAD(dentry, d_parent);
		if (dentry == LOAD(mnt, mnt_root)) {
			struct mount *m = mount_of(mnt), *up = LOAD(m, mnt_parent);

			if (m == up) /* not below the process's root */
				goto out;
			dentry = LOAD(m, mnt_mountpoint);
			mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		if (dentry == parent) /* of a file system that isn't mounted: memfd */
			goto name;
		if (used > EXE_MAX - NAME_MAX - 1)
			break;
		/* True already; 6.1 and older lose sight of it across the helper. */
		barrier_var(used);
		used &= EXE_MAX - 1;
		n = bpf_probe_read_kernel_str(e->exe + used, NAME_MAX + 1, LOAD(dentry, d_name.name));
		if (n <= 0)
			break;
		used += n;
		dentry = parent;
	}
	e->bits |= EXE_CUT;
	goto out;
name:
	if (used == 0) {
		n = bpf_probe_read_kernel_str(e->exe, NAME_MAX + 1, LOAD(dentry, d_name.name));
		if (n > 0)
			used = n;
	}
out:
	e->exe_len = used;
}

#endif /* BEESTING_PROBED_H */
