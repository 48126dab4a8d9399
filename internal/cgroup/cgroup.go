// Package cgroup translates between the three names of a cgroup: the id that
// the kernel gives (bpf_get_current_cgroup_id), the path in the cgroup v2 file
// system, and the path as a container runtime writes it.
package cgroup

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Root is the path of the root cgroup.
const Root = "/"

// ErrNoV2 is returned where there is no cgroup v2 hierarchy.
var ErrNoV2 = errors.New("no cgroup v2 hierarchy")

// RuntimePath turns the path that a runtime was given for a container
// (linux.cgroupsPath of the OCI configuration) into one below the root of the
// hierarchy. With the systemd driver it has the form slice:prefix:name; runc
// makes prefix-name.scope of it, below the slice and the slices that the
// dashes in its name stand for (libcontainer/cgroups/systemd, ExpandSlice).
func RuntimePath(s string) (string, error) {
	if s == "" {
		return "", errors.New("cgroup path: empty")
	}
	parts := strings.Split(s, ":")
	switch {
	case len(parts) == 1 && path.IsAbs(s):
		return path.Clean(s), nil
	case len(parts) != 3:
		return "", fmt.Errorf("cgroup path %q: neither absolute nor slice:prefix:name", s)
	}
	slice, err := expandSlice(parts[0])
	if err != nil {
		return "", fmt.Errorf("cgroup path %q: %w", s, err)
	}
	unit := parts[2]
	if !strings.HasSuffix(unit, ".slice") {
		unit += ".scope"
		if parts[1] != "" {
			unit = parts[1] + "-" + unit
		}
	}
	return path.Join(slice, unit), nil
}

// expandSlice turns a-b.slice into /a.slice/a-b.slice.
func expandSlice(slice string) (string, error) {
	if slice == "" {
		return "/system.slice", nil // runc's default
	}
	name, ok := strings.CutSuffix(slice, ".slice")
	switch {
	case !ok, strings.Contains(slice, "/"):
		return "", fmt.Errorf("%q is not the name of a slice", slice)
	case name == "-":
		return Root, nil
	}
	var expanded, prefix string
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", fmt.Errorf("%q is not the name of a slice", slice)
		}
		expanded += "/" + prefix + part + ".slice"
		prefix += part + "-"
	}
	return expanded, nil
}

// Within reports whether the cgroup at p is the one at parent or below it.
func Within(p, parent string) bool {
	return p == parent || parent == Root || strings.HasPrefix(p, parent+"/")
}
