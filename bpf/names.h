/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_NAMES_H
#define BEESTING_NAMES_H

/*
 * Names of watched inodes: renamed, removed. The vfs_* functions
 * rather than the LSM's hooks: their results are known, and they are also
 * called for the inode that a bind mount covers, where they fail with EBUSY.
 */

ENTRY(vfs_unlink)
{
	struct dentry *dentry = moved ? ARG(ctx, 3) : ARG(ctx, 2);

	AWAIT(inode_of(dentry), KIND_UNLINK | WRITING | BY_NAME, dentry);
	return 0;
}

/*
 * Since 5.12 the arguments are in a struct, which 5.10 got later (5.10.220);
 * before that there were six. A branch on what the kernel's types have is dropped
 * before the verifier looks at it.
 */
static __always_inline struct dentry *renamed_from(void *ctx)
{
	struct renamedata *rd = ARG(ctx, 1);

	return bpf_core_type_exists(struct renamedata) ? LOAD(rd, old_dentry) : ARG(ctx, 2);
}

static __always_inline struct dentry *renamed_to(void *ctx)
{
	struct renamedata *rd = ARG(ctx, 1);

	return bpf_core_type_exists(struct renamedata) ? LOAD(rd, new_dentry) : ARG(ctx, 4);
}

ENTRY(vfs_rename)
{
	struct dentry *from = renamed_from(ctx), *to = renamed_to(ctx);
	struct inode *inode = inode_of(from);

	if (!maybe_watched(inode)) /* perhaps it is replaced by another */
		inode = inode_of(to);
#if HAVE_EXIT
	AWAIT(inode, KIND_RENAME | WRITING | BY_NAME, from);
#else
	touched(inode, NULL, KIND_RENAME | WRITING | BY_NAME, 0, LOAD(to, d_name.name));
#endif
	return 0;
}

#if HAVE_EXIT
EXIT(vfs_unlink)
{
	struct dentry *dentry = moved ? ARG(ctx, 3) : ARG(ctx, 2);

	came_about(KIND_UNLINK, ADDRESS(dentry), moved ? RESULT(ctx, 5) : RESULT(ctx, 4), NULL);
	return 0;
}

EXIT(vfs_rename)
{
	struct dentry *from = renamed_from(ctx), *to = renamed_to(ctx), *last;
	long err = bpf_core_type_exists(struct renamedata) ? RESULT(ctx, 2) : RESULT(ctx, 7);

	/* The new name: the file has it by now, unless it was refused. */
	last = err ? to : from;
	came_about(KIND_RENAME, ADDRESS(from), err, last ? LOAD(last, d_name.name) : NULL);
	return 0;
}
#endif

#endif /* BEESTING_NAMES_H */
