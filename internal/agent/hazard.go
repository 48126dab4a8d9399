package agent

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/beesting-otel/beesting/nri"
)

// Reasons not to mount a token at its path. Each is a way in which the runtime
// would fail the container, or leave something behind in it.
var (
	errMountExists  = errors.New("another mount is there")
	errMountBelow   = errors.New("another mount is below it")
	errReadOnly     = errors.New("below a read-only mount, where the runtime can't make the mount point")
	errVolume       = errors.New("below a volume, where the mount point would stay and be seen by others")
	errKernelFS     = errors.New("in a file system of the kernel")
	errMountUnknown = errors.New("below a mount whose kind is not known to be safe")
)

// checkMountPoint says whether a bind mount at target can be added to a
// container with these mounts. runc makes what is missing of the path, in the
// file system that the deepest mount above puts there.
//
// The container's files can't be looked at here: its root file system is
// mounted after CreateContainer. A link in the image can therefore lead the
// path elsewhere than the text says. What Debian, Alpine and others have as
// links is compared both ways; for the rest there is attempts.
func checkMountPoint(target string, mounts []nri.Mount) error {
	at := canonical(target)
	for _, dir := range []string{"/proc", "/sys"} {
		if within(at, dir) {
			return fmt.Errorf("%s: %w", dir, errKernelFS)
		}
	}
	var above *nri.Mount
	deepest := ""
	for i := range mounts {
		destination := canonical(mounts[i].Destination)
		switch {
		case destination == at:
			return fmt.Errorf("%s: %w", mounts[i].Destination, errMountExists)
		case within(destination, at):
			return fmt.Errorf("%s: %w", mounts[i].Destination, errMountBelow)
		case within(at, destination) && destination != "/" && len(destination) >= len(deepest):
			above, deepest = &mounts[i], destination
		}
	}
	if above == nil {
		return nil
	}
	if err := checkAbove(*above); err != nil {
		return fmt.Errorf("%s: %w", above.Destination, err)
	}
	return nil
}

func checkAbove(m nri.Mount) error {
	bind := m.Type == "bind" || slices.ContainsFunc(m.Options, func(o string) bool { return o == "bind" || o == "rbind" })
	switch {
	case slices.Contains(m.Options, "ro"), slices.Contains(m.Options, "rro"):
		return errReadOnly
	case bind:
		return errVolume
	case m.Type == "tmpfs":
		return nil // the container's own, such as /dev
	case slices.Contains([]string{"proc", "sysfs", "cgroup", "cgroup2", "mqueue", "devpts"}, m.Type):
		return errKernelFS
	default:
		return fmt.Errorf("type %q: %w", m.Type, errMountUnknown)
	}
}

// within reports whether p is dir or below it; both are clean.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// canonical follows the links that images commonly have, so that two names of
// one place compare equal. In an image where one of them is a directory of its
// own that is too careful: a token can be refused that would have done no harm.
func canonical(p string) string {
	p = path.Clean("/" + p)
	for _, link := range [][2]string{
		{"/var/lock", "/run/lock"},
		{"/var/run", "/run"},
		{"/bin", "/usr/bin"},
		{"/sbin", "/usr/sbin"},
		{"/lib", "/usr/lib"},
		{"/lib64", "/usr/lib64"},
	} {
		if within(p, link[0]) {
			return link[1] + strings.TrimPrefix(p, link[0])
		}
	}
	return p
}
