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

ENTRY(vfs_rename)
{
	struct renamedata *rd = ARG(ctx, 1);
	struct dentry *from = LOAD(rd, old_dentry), *to = LOAD(rd, new_dentry);
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
	struct renamedata *rd = ARG(ctx, 1);
	struct dentry *from = LOAD(rd, old_dentry), *to = LOAD(rd, new_dentry), *named;
	long err = RESULT(ctx, 2);

	/* The new name: the file has it by now, unless it was refused. */
	named = err ? to : from;
	came_about(KIND_RENAME, ADDRESS(from), err, named ? LOAD(named, d_name.name) : NULL);
	return 0;
}
#endif

#endif /* BEESTING_NAMES_H */
