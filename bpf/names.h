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

#endif /* BEESTING_NAMES_H */
