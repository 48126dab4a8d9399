//go:build linux && (amd64 || arm64)

package fanotify

import (
	"path"

	"golang.org/x/sys/unix"
)

// cgroups is the directory of the cgroup v2 file system; empty if there is none.
type cgroups string

// findCgroups looks for it at root and, as systemd's hybrid layout has it, at
// root/unified.
func findCgroups(root string) cgroups {
	for _, dir := range []string{root, path.Join(root, "unified")} {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err == nil && st.Type == unix.CGROUP2_SUPER_MAGIC {
			return cgroups(dir)
		}
	}
	return ""
}

// id is the kernel's id of the cgroup at p: the number of its inode (since 5.5,
// and before that the low half of it). Zero where it can't be had, as outside of
// the cgroup namespace.
func (c cgroups) id(p string) uint64 {
	if c == "" || path.Clean(p) != p || len(p) > 3 && p[:4] == "/../" {
		return 0
	}
	var st unix.Stat_t
	if err := unix.Stat(path.Join(string(c), p), &st); err != nil {
		return 0
	}
	return st.Ino
}

// within tells whether the cgroup at p is one of ids or below one.
func (c cgroups) within(p string, ids map[uint64]struct{}) bool {
	for {
		if _, ok := ids[c.id(p)]; ok {
			return true
		}
		if p == "/" || p == "." || p == "" {
			return false
		}
		p = path.Dir(p)
	}
}
