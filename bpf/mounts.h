/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
#ifndef BEESTING_MOUNTS_H
#define BEESTING_MOUNTS_H

/* Mounts of and on watched inodes, handles, and what follows an inode about. */

static __always_inline struct inode *root_of(struct vfsmount *mnt)
{
	return inode_of(LOAD(mnt, mnt_root));
}

/* Mounted over. */
HOOK(sb_mount)
{
	touched(inode_at(ARG(ctx, 2)), NULL, KIND_MOUNT | WRITING, 0, NULL);
	return 0;
}

/* Moved, or mounted over by move_mount(2). */
HOOK(move_mount)
{
	struct inode *inode = inode_at(ARG(ctx, 1));

	if (!maybe_watched(inode))
		inode = inode_at(ARG(ctx, 2));
	touched(inode, NULL, KIND_MOUNT | WRITING, 0, NULL);
	return 0;
}

HOOK(sb_umount)
{
	touched(root_of(ARG(ctx, 1)), NULL, KIND_MOUNT | WRITING, 0, NULL);
	return 0;
}

/*
 * Bound elsewhere. Copies for a new mount namespace and for propagation have
 * flags below 0x40 (CL_EXPIRE … CL_SHARED_TO_SLAVE, fs/pnode.h), binds have none.
 */
ENTRY(clone_mnt)
{
	if (!((long)ARG(ctx, 3) & 0x3f))
		touched(inode_of(ARG(ctx, 2)), NULL, KIND_MOUNT | WRITING, 0, NULL);
	return 0;
}

/* Overlayfs encodes the backing inode on the way, as the same caller. */
ENTRY(exportfs_encode_inode_fh)
{
	struct inode *inode = ARG(ctx, 1);

	AWAIT(inode, KIND_HANDLE, inode);
	return 0;
}

#if HAVE_EXIT
EXIT(exportfs_encode_inode_fh)
{
	struct inode *inode = ARG(ctx, 1);

	came_about(KIND_HANDLE, ADDRESS(inode), 0, NULL);
	return 0;
}
#endif

/*
 * An overlay file is about to get another backing inode, which the agent has to
 * enrol when it is there: the hook is called before the copying.
 */
HOOK(inode_copy_up)
{
	struct inode *inode = inode_of(ARG(ctx, 1));
	struct touch t = {};
	struct watch *w;
	struct event *e;

	if (!maybe_watched(inode) || active != generation)
		return 0;
	w = watch_find(inode);
	if (!w || !w->placement)
		return 0;
	t.placement = w->placement;
	e = new_event(&t); /* of kind 0 */
	if (e) {
		bpf_ringbuf_submit(e, 0);
	} else {
		__sync_fetch_and_add(&lost_copy_ups, 1);
		__sync_fetch_and_add(&lost_ring_full, 1);
	}
	return 0;
}

#endif /* BEESTING_MOUNTS_H */
