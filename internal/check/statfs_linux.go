package check

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fileSystem names the type of the file system that holds path.
func fileSystem(path string) (string, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return "", err
	}
	names := map[int64]string{
		unix.EXT4_SUPER_MAGIC:      "ext4", // ext2 and ext3 have the same
		unix.XFS_SUPER_MAGIC:       "xfs",
		unix.BTRFS_SUPER_MAGIC:     "btrfs",
		unix.F2FS_SUPER_MAGIC:      "f2fs",
		unix.TMPFS_MAGIC:           "tmpfs",
		unix.RAMFS_MAGIC:           "ramfs",
		unix.OVERLAYFS_SUPER_MAGIC: "overlay",
		unix.NFS_SUPER_MAGIC:       "nfs",
		unix.BPF_FS_MAGIC:          "bpffs",
		unix.SYSFS_MAGIC:           "sysfs",
		0x2fc12fc1:                 "zfs",
	}
	if name, ok := names[int64(st.Type)]; ok {
		return name, nil
	}
	return fmt.Sprintf("file system %#x", st.Type), nil
}
