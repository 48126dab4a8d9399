package vm

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// guestModules are the modules every guest can load, with what they depend on:
// disks, network, the file systems of the tests, and what a container's network
// needs. One that a kernel has built in, or lacks, is left out.
var guestModules = [...]string{
	"virtio_pci", "virtio_blk", "virtio_net", "overlay", "xfs", "btrfs", "ext4", "loop", "veth", "bridge",
}

// moduleTree reads what depmod wrote about a kernel's modules.
type moduleTree struct {
	dir string
	// deps maps a module's name to its path and its dependencies' paths, in the
	// order of modules.dep, relative to dir.
	deps map[string][]string
}

func readModuleTree(dir string) (*moduleTree, error) {
	raw, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	t := &moduleTree{dir: dir, deps: map[string][]string{}}
	for line := range strings.Lines(string(raw)) {
		path, deps, ok := strings.Cut(strings.TrimSpace(line), ":")
		if ok {
			t.deps[moduleName(path)] = append([]string{path}, strings.Fields(deps)...)
		}
	}
	return t, nil
}

// moduleName is a module's name as the kernel spells it.
func moduleName(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(filepath.Base(path), ".ko"), "-", "_")
}

// closure returns the paths of the named modules and of all they depend on,
// softly too (btrfs asks for its checksums only when it mounts).
func (t *moduleTree) closure(names []string) ([]string, error) {
	soft, err := t.softDeps()
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var out []string
	queue := slices.Clone(names)
	for len(queue) > 0 {
		name := strings.ReplaceAll(queue[0], "-", "_")
		queue = queue[1:]
		if seen[name] {
			continue
		}
		seen[name] = true
		for i, path := range t.deps[name] {
			if i == 0 {
				out = append(out, path)
			} else {
				queue = append(queue, moduleName(path))
			}
		}
		queue = append(queue, soft[name]...)
	}
	slices.Sort(out)
	return out, nil
}

// softDeps reads modules.softdep: "softdep btrfs pre: crc32c xxhash64". A name
// there is a module's or that of an algorithm, which several modules may have.
func (t *moduleTree) softDeps() (map[string][]string, error) {
	raw, err := os.ReadFile(filepath.Join(t.dir, "modules.softdep"))
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	algorithms, err := t.algorithms()
	if err != nil {
		return nil, err
	}
	soft := map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] != "softdep" {
			continue
		}
		name := strings.ReplaceAll(f[1], "-", "_")
		for _, dep := range f[2:] {
			if dep != "pre:" && dep != "post:" {
				soft[name] = append(append(soft[name], dep), algorithms[dep]...)
			}
		}
	}
	return soft, nil
}

// algorithms maps the crypto algorithms' names to the modules that have them:
// "alias crypto-crc32c crc32c_cryptoapi". btrfs's soft dependencies say "crc32c"
// up to 6.17 and "crypto-crc32c" from 6.18 on.
func (t *moduleTree) algorithms() (map[string][]string, error) {
	raw, err := os.ReadFile(filepath.Join(t.dir, "modules.alias"))
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	out := map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) == 3 && strings.HasPrefix(f[1], "crypto-") {
			name := strings.TrimPrefix(f[1], "crypto-")
			out[name] = append(out[name], f[2])
			out[f[1]] = append(out[f[1]], f[2])
		}
	}
	return out, nil
}

// has tells whether the kernel has a module, loadable or built in.
func (t *moduleTree) has(name string) (bool, error) {
	name = strings.ReplaceAll(name, "-", "_")
	if _, ok := t.deps[name]; ok {
		return true, nil
	}
	raw, err := os.ReadFile(filepath.Join(t.dir, "modules.builtin"))
	if err != nil {
		return false, fmt.Errorf("kernel modules: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		if moduleName(strings.TrimSpace(line)) == name {
			return true, nil
		}
	}
	return false, nil
}

// index returns the lines of modules.dep or modules.alias that are about the
// modules in paths: busybox reads these files whole at each call.
func (t *moduleTree) index(file string, paths []string) ([]byte, error) {
	names := map[string]bool{}
	for _, p := range paths {
		names[moduleName(p)] = true
	}
	raw, err := os.ReadFile(filepath.Join(t.dir, file))
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	var out bytes.Buffer
	for line := range strings.Lines(string(raw)) {
		name := ""
		if path, _, ok := strings.Cut(line, ":"); ok && file == "modules.dep" {
			name = moduleName(path)
		} else if f := strings.Fields(line); len(f) == 3 {
			name = strings.ReplaceAll(f[2], "-", "_")
		}
		if names[name] {
			out.WriteString(line)
		}
	}
	return out.Bytes(), nil
}
