package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Bounds of a walk. Kubernetes has containers five levels deep, or eight with a
// node in a container; a node with 500 pods has some thousand cgroups.
const (
	maxDepth = 12
	maxWalk  = 50_000
)

// PodContainers lists the cgroups of pods' containers and sandboxes: the path of
// each by its id. Nobody is asked but the file system, so a container that its
// runtime doesn't tell of is there, too. It doesn't look into a container's own
// cgroups, whose names are for the container to choose. A walk of more than 50,000
// cgroups is an error.
func (f *FS) PodContainers() (map[string]string, error) {
	found := map[string]string{}
	walked := 0
	err := f.podContainers(Root, 0, &walked, found)
	return found, err
}

func (f *FS) podContainers(path string, depth int, walked *int, found map[string]string) error {
	if *walked++; *walked > maxWalk {
		return fmt.Errorf("cgroups: more than %d", maxWalk)
	}
	entries, err := os.ReadDir(filepath.Join(f.dir.Name(), path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return fmt.Errorf("cgroup %s: %w", path, err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		child := filepath.Join(path, entry.Name())
		if id, ok := PodContainer(child); ok {
			found[id] = child
			continue
		}
		if depth+1 >= maxDepth {
			continue
		}
		if err := f.podContainers(child, depth+1, walked, found); err != nil {
			return err
		}
	}
	return nil
}
