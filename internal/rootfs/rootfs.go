// Package rootfs looks at files below a directory as a process would for which
// that directory is the root, and never leaves it.
//
// A container's files are looked at from the host, at /proc/PID/root. Joining
// paths there is wrong: with an image that has /var/run -> /run, the kernel
// follows the absolute link on the host. openat2(2) with RESOLVE_IN_ROOT
// (Linux 5.6) resolves absolute links and ".." inside the directory, atomically
// against renames by the container.
package rootfs

import "os"

// Root is an open directory. Its methods may be called concurrently.
type Root struct {
	dir *os.File
}

// Close lets go of the directory. While it is open, a mount namespace that is
// only reached through it stays alive.
func (r *Root) Close() error { return r.dir.Close() }
