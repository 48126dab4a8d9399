/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_RECON_H
#define BEESTING_RECON_H

/*
 * The recon tier: what can be seen only from functions that run several times
 * in nearly every system call with a path. docs/benchmarks.md has the price.
 */

#define O_PATH_FLAG 010000000 /* O_PATH, the same on amd64 and arm64 */
#define MAY_EXEC 0x1
#define MAY_ACCESS 0x10
#define MAY_OPEN 0x20

#define OPEN_TREE_CLONE 1

/* O_PATH: never meets an LSM hook. Other opens do, later on. */
static __noinline int path_opened(struct inode *inode, struct file *file)
{
	__u64 key = (__u64)file;
	struct open_file f = {};
	struct touch t = {};

#if HAVE_EXIT
	__u64 flags;

	/* open_tree(2): a clone has been told as a mount. */
	if (kind_by_syscall(&flags) == KIND_MOUNT && flags & OPEN_TREE_CLONE)
		return 0;
#endif
	if (!counts_as(&t, inode, NULL, KIND_OPEN_PATH))
		return 0;
	report(&t, NULL, false);
	/* For fstat. */
	f.placement = t.placement;
	f.start_time = t.start_time;
	f.pid = t.pid;
	f.kind = KIND_OPEN_PATH;
	f.counted = close_is_seen(&t, inode);
	bpf_map_update_elem(&opens, &key, &f, BPF_ANY);
	if (f.counted)
		hold(&f, 1);
	return 0;
}

ENTRY(vfs_open)
{
	struct file *file = ARG(ctx, 2);
	struct inode *inode = inode_at(ARG(ctx, 1));

	if (maybe_watched(inode) && LOAD(file, f_flags) & O_PATH_FLAG)
		path_opened(inode, file);
	return 0;
}

#if HAVE_EXIT
/* readlink(2) of what is no link ends after the look-up. */
EXIT(filename_lookup)
{
	struct inode *inode;
	__u64 third;

	if (RESULT(ctx, 6))
		return 0;
	inode = inode_at(ARG(ctx, 4));
	if (maybe_watched(inode) && kind_by_syscall(&third) == KIND_READLINK)
		touched(inode, NULL, KIND_READLINK, 0, NULL);
	return 0;
}

/* access(2), and whatever the mode of the file forbids. */
static __noinline int permitted(struct inode *inode, int mask, long err)
{
	struct touch t = {};
	__u32 how = 0;
	__u64 third;

	if (mask & MAY_ACCESS)
		how = KIND_ACCESS;
	else if (!denial(err))
		return 0;
	else if (mask & MAY_OPEN)
		how = mask & MAY_EXEC ? KIND_EXEC : KIND_OPEN;
	else
		how = kind_by_syscall(&third);
	if (!how || how >= KIND_CLOSE || !counts_as(&t, inode, NULL, how))
		return 0;
	/* Not by touched(), whose `how` has to be a constant. */
	refuse(&t, err);
	return report(&t, NULL, false);
}

EXIT(inode_permission)
{
	struct inode *inode = moved ? ARG(ctx, 2) : ARG(ctx, 1);

	if (maybe_watched(inode))
		permitted(inode, (int)(long)(moved ? ARG(ctx, 3) : ARG(ctx, 2)),
			  moved ? RESULT(ctx, 4) : RESULT(ctx, 3));
	return 0;
}
#endif

#endif /* BEESTING_RECON_H */
