/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_NAMES_H
#define BEESTING_NAMES_H

/*
 * Names of watched inodes: renamed, removed, pointed at. The vfs_* functions
 * rather than the LSM's hooks: their results are known, and they are also
 * called for the inode that a bind mount covers, where they fail with EBUSY.
 */

ENTRY(vfs_unlink)
{
	struct inode *inode = moved ? inode_of(ARG(ctx, 3)) : inode_of(ARG(ctx, 2));

	AWAIT(inode, KIND_UNLINK | WRITING | BY_NAME);
	return 0;
}

ENTRY(vfs_rename)
{
	struct renamedata *rd = ARG(ctx, 1);
	struct inode *inode = inode_of(LOAD(rd, old_dentry));

	struct dentry *to = LOAD(rd, new_dentry);

	if (!maybe_watched(inode)) /* perhaps it is replaced by another */
		inode = inode_of(to);
#if HAVE_EXIT
	AWAIT(inode, KIND_RENAME | WRITING | BY_NAME);
#else
	touched(inode, NULL, KIND_RENAME | WRITING | BY_NAME, 0, LOAD(to, d_name.name));
#endif
	return 0;
}

#if HAVE_EXIT
EXIT(vfs_unlink)
{
	came_about(KIND_UNLINK, moved ? RESULT(ctx, 5) : RESULT(ctx, 4), NULL);
	return 0;
}

EXIT(vfs_rename)
{
	struct renamedata *rd = ARG(ctx, 1);
	long err = RESULT(ctx, 2);
	/* The new name: the file has it by now, unless it was refused. */
	struct dentry *dentry = err ? LOAD(rd, new_dentry) : LOAD(rd, old_dentry);

	came_about(KIND_RENAME, err, dentry ? LOAD(dentry, d_name.name) : NULL);
	return 0;
}
#endif

/*
 * A symbolic link is made of a string; whether that leads to a token only user
 * space can find out. It is asked when the last component is a token's name.
 * Not under lockdown=confidentiality, where the string can't be read.
 */
static __noinline int linked(const char *target, struct path *dir)
{
	char name[NAME_LEN] = {};
	struct event *e;
	struct touch t = {};
	__u32 cut, last = 0;
	long n;

	if (active != generation || is_self())
		return 0;
	t.kind = KIND_SYMLINK;
	t.now = bpf_ktime_get_boot_ns();
	e = new_event(&t);
	if (!e) {
		__sync_fetch_and_add(&lost_ring_full, 1);
		return 0;
	}
	add_detail(e, target);
	for (__u32 i = 0; i < DETAIL_MAX - 1; i++) {
		if (i >= e->detail_len)
			break;
		if (e->detail[i] == '/')
			last = i + 1;
	}
	n = bpf_probe_read_kernel_str(name, sizeof(name), target + last);
	if (n <= 1 || !bpf_map_lookup_elem(&names, name)) {
		bpf_ringbuf_discard(e, 0);
		return 0;
	}
	e->total = 1;
	add_actor(e, false);
	e->bits &= ~(CWD_REVERSED | CWD_CUT | CWD_MISSING);
	e->cwd_len = walk(e->cwd, CWD_MAX, CURRENT(), dir, &cut);
	e->bits |= CWD_REVERSED | cut * CWD_CUT;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

HOOK(path_symlink)
{
	if (may_probe)
		linked(ARG(ctx, 3), ARG(ctx, 1));
	return 0;
}

#endif /* BEESTING_NAMES_H */
