/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_HOOKS_H
#define BEESTING_HOOKS_H

/*
 * The hooks of the default tier. HOOK(name) is a security hook by its LSM name,
 * ENTRY(name) the entry of a function, EXIT(name) its return, with the result
 * as RESULT(ctx, n), where n is one more than the number of arguments. A mode
 * without returns runs EXIT at the entry and takes the result for good.
 *
 * The first four are on hot paths: what they cost everybody is the call and
 * maybe_watched().
 */

#include "attributes.h"

static __always_inline struct inode *inode_of(struct dentry *dentry)
{
	return dentry ? LOAD(dentry, d_inode) : NULL;
}

static __always_inline struct inode *inode_at(struct path *path)
{
	return inode_of(LOAD(path, dentry));
}

HOOK(file_open)
{
	on_open(ARG(ctx, 1));
	return 0;
}

HOOK(file_permission)
{
	on_use(ARG(ctx, 1), (int)(long)ARG(ctx, 2));
	return 0;
}

HOOK(mmap_file)
{
	on_mmap(ARG(ctx, 1));
	return 0;
}

HOOK(inode_getattr)
{
	struct path *path = ARG(ctx, 1);
	struct inode *inode = inode_at(path);

	if (maybe_watched(inode))
		asked(inode, path);
	return 0;
}

/*
 * Since 6.17: file_getattr(2), and on the way of file_setattr(2) and of an ioctl,
 * which by the descriptor is part of an open.
 */
HOOK(inode_file_getattr)
{
	struct inode *inode = inode_of(ARG(ctx, 1));

	if (!maybe_watched(inode))
		return 0;
#if HAVE_EXIT
	__u64 third;
	__u8 kind = kind_by_syscall(&third);

	if (kind == KIND_SETATTR || kind == KIND_CLOSE)
		return 0;
#endif
	touched(inode, NULL, KIND_STAT, 0, NULL);
	return 0;
}

HOOK(inode_file_setattr)
{
	touched(inode_of(ARG(ctx, 1)), NULL, KIND_SETATTR | WRITING, 0, NULL);
	return 0;
}

HOOK(file_receive)
{
	struct file *file = ARG(ctx, 1);

	touched(LOAD(file, f_inode), file, KIND_RECEIVE | IF_LSM, 0, NULL);
	return 0;
}

HOOK(file_lock)
{
	struct file *file = ARG(ctx, 1);

	touched(LOAD(file, f_inode), file, KIND_LOCK | IF_LSM, 0, NULL);
	return 0;
}

HOOK(path_notify)
{
	touched(inode_at(ARG(ctx, 1)), NULL, KIND_WATCH | IF_LSM, 0, NULL);
	return 0;
}

HOOK(inode_getxattr)
{
	touched(inode_of(ARG(ctx, 1)), NULL, KIND_XATTR | IF_LSM, 0, ARG(ctx, 2));
	return 0;
}

HOOK(inode_listxattr)
{
	touched(inode_of(ARG(ctx, 1)), NULL, KIND_XATTR, 0, NULL);
	return 0;
}

HOOK(inode_setxattr)
{
	if (xattr_moved)
		touched(inode_of(ARG(ctx, 2)), NULL, KIND_XATTR | WRITING, 0, ARG(ctx, 3));
	else
		touched(inode_of(ARG(ctx, 1)), NULL, KIND_XATTR | WRITING, 0, ARG(ctx, 2));
	return 0;
}

HOOK(inode_removexattr)
{
	if (xattr_moved)
		touched(inode_of(ARG(ctx, 2)), NULL, KIND_XATTR | WRITING, 0, ARG(ctx, 3));
	else
		touched(inode_of(ARG(ctx, 1)), NULL, KIND_XATTR | WRITING, 0, ARG(ctx, 2));
	return 0;
}

/* Since 6.2 access control lists go their own ways. */
HOOK(inode_get_acl)
{
	touched(inode_of(ARG(ctx, 2)), NULL, KIND_XATTR, 0, ARG(ctx, 3));
	return 0;
}

HOOK(inode_set_acl)
{
	touched(inode_of(ARG(ctx, 2)), NULL, KIND_XATTR | WRITING, 0, ARG(ctx, 3));
	return 0;
}

HOOK(inode_remove_acl)
{
	touched(inode_of(ARG(ctx, 2)), NULL, KIND_XATTR | WRITING, 0, ARG(ctx, 3));
	return 0;
}

#include "pending.h"

/* A truncation by open(2) belongs to the open (include/linux/fs.h). */
#define ATTR_OPEN (1 << 15)
/* The kernel's own doing: set-id bits dropped by a write, which is told itself. */
#define ATTR_FORCE (1 << 9)
#define ATTR_SIZE (1 << 3)

/* At the entry, as overlayfs takes ATTR_OPEN away. */
ENTRY(notify_change)
{
	struct dentry *dentry = moved ? ARG(ctx, 2) : ARG(ctx, 1);
	struct iattr *attr = moved ? ARG(ctx, 3) : ARG(ctx, 2);
	__u32 valid = LOAD(attr, ia_valid);

	if (!(valid & ATTR_OPEN) && (valid & (ATTR_FORCE | ATTR_SIZE)) != ATTR_FORCE)
		AWAIT(inode_of(dentry), KIND_SETATTR | WRITING, dentry);
	return 0;
}

#if HAVE_EXIT
EXIT(notify_change)
{
	struct dentry *dentry = moved ? ARG(ctx, 2) : ARG(ctx, 1);

	came_about(KIND_SETATTR, ADDRESS(dentry), moved ? RESULT(ctx, 5) : RESULT(ctx, 4), NULL);
	return 0;
}
#endif

EXIT(vfs_link)
{
	/* moved: an argument more, behind the first. */
	long err = moved ? RESULT(ctx, 6) : RESULT(ctx, 5);

	touched(inode_of(ARG(ctx, 1)), NULL, KIND_LINK, err, NULL);
	return 0;
}

#include "names.h"
#include "symlinks.h"
#include "mounts.h"

#endif /* BEESTING_HOOKS_H */
