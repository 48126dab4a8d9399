package live

import (
	"fmt"
	"path"
	"strings"
)

const (
	maxPath = 4096 - 1 // PATH_MAX without the NUL
	maxName = 255      // NAME_MAX
)

// split returns the names of an absolute path. They are bytes: any but "/" and NUL
// may be in them. A path with ".." would depend on links before it, and is refused
// like every other one that isn't clean.
func split(name string) ([]string, error) {
	switch {
	case !strings.HasPrefix(name, "/") || name == "/":
		return nil, fmt.Errorf("%w: %.64q names no file from the root on", ErrPath, name)
	case len(name) > maxPath:
		return nil, fmt.Errorf("%w: %d bytes, %d at most", ErrPath, len(name), maxPath)
	case strings.ContainsRune(name, 0):
		return nil, fmt.Errorf("%w: %.64q has a NUL in it", ErrPath, name)
	case path.Clean(name) != name:
		return nil, fmt.Errorf("%w: %.64q is not clean", ErrPath, name)
	}
	names := strings.Split(name[1:], "/")
	for _, n := range names {
		if len(n) > maxName {
			return nil, fmt.Errorf("%w: a name of %d bytes, %d at most", ErrPath, len(n), maxName)
		}
	}
	if names[0] == "proc" || names[0] == "sys" {
		return nil, fmt.Errorf("%w: /%s is the kernel's", ErrPath, names[0])
	}
	return names, nil
}

func join(names []string) string { return "/" + strings.Join(names, "/") }
