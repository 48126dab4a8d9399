/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_PATHS_H
#define BEESTING_PATHS_H

/*
 * Paths as the process sees them. bpf_d_path where the hook may call it, which
 * the kernel has lists of (bpf_d_path_allowed); else by hand and bounded, which
 * lockdown=confidentiality refuses. Where neither can be had the path is missing.
 */

#define NAME_MAX 255 /* include/uapi/linux/limits.h */
#define DEPTH_MAX 48 /* components and mounts of a path */

static __always_inline struct mount *mount_of(struct vfsmount *mnt)
{
	return (void *)mnt - bpf_core_field_offset(struct mount, mnt);
}

/*
 * What d_path does: from the path up to the root of the process, crossing
 * mounts. The names come out last first; the decoder turns them round. `size`
 * is a power of two, more than NAME_MAX. Returns the length, and whether
 * leading components are missing.
 */
static __always_inline __u32 walk(__u8 *out, __u32 size, struct task_struct *task,
				  struct path *path, __u32 *cut)
{
	struct dentry *dentry = BPF_CORE_READ(path, dentry), *parent;
	struct vfsmount *mnt = BPF_CORE_READ(path, mnt);
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);
	struct vfsmount *root_mnt = BPF_CORE_READ(task, fs, root.mnt);
	__u32 used = 0;
	long n;

	*cut = 0;
	for (int i = 0; i < DEPTH_MAX; i++) {
		/*
		 * True already. Said here it makes every turn look the same to the
		 * verifier, which then goes through the body once a turn instead of
		 * once for each way there; and 6.1 loses sight of it in the helper.
		 */
		barrier_var(used);
		used &= size - 1;
		if (dentry == root && mnt == root_mnt)
			return used;
		parent = BPF_CORE_READ(dentry, d_parent);
		if (dentry == BPF_CORE_READ(mnt, mnt_root)) {
			struct mount *m = mount_of(mnt), *up = BPF_CORE_READ(m, mnt_parent);

			if (m == up) /* not below the process's root */
				return used;
			dentry = BPF_CORE_READ(m, mnt_mountpoint);
			mnt = (void *)up + bpf_core_field_offset(struct mount, mnt);
			continue;
		}
		if (dentry == parent) /* of a file system that isn't mounted: memfd */
			goto name;
		if (used > size - NAME_MAX - 1)
			break;
		n = bpf_probe_read_kernel_str(out + used, NAME_MAX + 1, BPF_CORE_READ(dentry, d_name.name));
		if (n <= 0)
			break;
		used += n;
		dentry = parent;
	}
	*cut = 1;
	return used;
name:
	if (used == 0) {
		n = bpf_probe_read_kernel_str(out, NAME_MAX + 1, BPF_CORE_READ(dentry, d_name.name));
		if (n > 0)
			used = n;
	}
	return used;
}

static __always_inline void add_exe(struct event *e, struct task_struct *task, struct file *exe, bool d_path)
{
	__u32 cut;
	long len;

	if (HAVE_D_PATH && d_path) {
		/* Puts deleted files as "/path (deleted)". */
		len = bpf_d_path(&exe->f_path, (char *)e->exe, sizeof(e->exe));
		if (len > 0 && len <= EXE_MAX)
			e->exe_len = len;
		else
			e->bits |= EXE_MISSING;
		return;
	}
	if (!may_probe) {
		e->bits |= EXE_MISSING;
		return;
	}
	e->exe_len = walk(e->exe, EXE_MAX, task, PATH_OF(exe, f_path), &cut);
	e->bits |= EXE_REVERSED | cut * EXE_CUT;
	if (!BPF_CORE_READ(exe, f_path.dentry, d_hash.pprev))
		e->bits |= EXE_DELETED;
}

/* Without bpf_d_path it's left to user space: one walk is dear enough to verify. */
static __always_inline void add_cwd(struct event *e, struct task_struct *task, bool d_path)
{
	struct fs_struct *fs = LOAD(task, fs);
	long len = 0;

	if (HAVE_D_PATH && d_path && fs)
		len = bpf_d_path(PATH_OF(fs, pwd), (char *)e->cwd, sizeof(e->cwd));
	if (len > 0 && len <= CWD_MAX)
		e->cwd_len = len;
	else
		e->bits |= CWD_MISSING;
}

/* A string of the kernel's: a name, a symbolic link's target. */
static __always_inline void add_detail(struct event *e, const void *text)
{
	long n;

	if (!text || !may_probe)
		return;
	n = bpf_probe_read_kernel_str(e->detail, sizeof(e->detail), text);
	if (n > 0)
		e->detail_len = n;
	if (n == DETAIL_MAX)
		e->bits |= DETAIL_CUT;
}

#endif /* BEESTING_PATHS_H */
