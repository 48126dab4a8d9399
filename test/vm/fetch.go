package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// FetchKernel returns the kernel that selector names ("6.12", "newest", a full
// release), from the cache when it is there, else from Debian's mirrors; with
// refresh it looks at the mirrors in any case. Progress is told on progress. It
// is safe for concurrent use, by several processes too.
func FetchKernel(ctx context.Context, selector string, refresh bool, progress io.Writer) (Kernel, error) {
	a, err := guestArch("")
	if err != nil {
		return Kernel{}, err
	}
	return fetchKernel(ctx, a, selector, refresh, progress)
}

func fetchKernel(ctx context.Context, a arch, selector string, refresh bool, progress io.Writer) (Kernel, error) {
	if err := checkSelector(selector); err != nil {
		return Kernel{}, err
	}
	dir, err := cacheDir()
	if err != nil {
		return Kernel{}, err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	store := kernelStore{dir: filepath.Join(dir, "kernels-"+a.name)}
	if !refresh {
		if k, ok := store.find(selector); ok {
			return k, nil
		}
	}
	mirror := &mirror{dir: filepath.Join(dir, "apt-"+a.name), arch: a, progress: progress}
	k, packages, err := mirror.resolve(ctx, selector, refresh)
	if err != nil {
		return Kernel{}, fmt.Errorf("kernel %s: %w", selector, err)
	}
	k.Dir = filepath.Join(store.dir, k.Release+"_"+k.Version)
	if !exists(k.Dir) {
		if err := install(ctx, mirror, k, packages); err != nil {
			return Kernel{}, fmt.Errorf("kernel %s: %w", selector, err)
		}
	}
	return k, store.record(k)
}

// install downloads and unpacks into a directory that gets its name last, so
// that what has the name is whole.
func install(ctx context.Context, m *mirror, k Kernel, packages []string) error {
	if err := os.MkdirAll(filepath.Dir(k.Dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(k.Dir), ".unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	debs := filepath.Join(tmp, "debs")
	if err := m.download(ctx, debs, packages); err != nil {
		return err
	}
	if err := unpackKernel(ctx, m.progress, debs, filepath.Join(tmp, "kernel"), k.Release); err != nil {
		return err
	}
	return os.Rename(filepath.Join(tmp, "kernel"), k.Dir)
}

// unpackKernel turns packages into vmlinuz and lib/modules/RELEASE with plain
// .ko files and modules.dep. Up to 6.18 it is one package with boot/vmlinuz-*,
// from 6.19 on the image lies beside the modules in a package of its own.
func unpackKernel(ctx context.Context, progress io.Writer, debs, dir, release string) error {
	raw := filepath.Join(filepath.Dir(dir), "raw")
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	for _, deb := range files {
		if _, err := output(exec.CommandContext(ctx, "dpkg", "-x", deb, raw)); err != nil {
			return err
		}
	}
	var image, modules string
	for _, lib := range []string{"lib/modules", "usr/lib/modules"} {
		if p := filepath.Join(raw, lib, release); exists(p) {
			modules = p
		}
	}
	for _, p := range []string{filepath.Join(raw, "boot", "vmlinuz-"+release), filepath.Join(modules, "vmlinuz")} {
		if exists(p) {
			image = p
		}
	}
	if image == "" || !exists(filepath.Join(modules, "modules.builtin")) {
		return fmt.Errorf("packages %v: no kernel image or no modules for %s inside", files, release)
	}
	if err := os.MkdirAll(filepath.Join(dir, "lib", "modules"), 0o755); err != nil {
		return err
	}
	if err := os.Rename(image, filepath.Join(dir, "vmlinuz")); err != nil {
		return err
	}
	if err := os.Rename(modules, filepath.Join(dir, "lib", "modules", release)); err != nil {
		return err
	}
	return indexModules(ctx, progress, dir, release)
}

// indexModules unpacks compressed modules (6.12 and later), because the guest's
// kernel only takes them plain from busybox, and writes modules.dep, which
// Debian makes at installation.
func indexModules(ctx context.Context, progress io.Writer, dir, release string) error {
	for program, pkg := range map[string]string{"xz": "xz-utils", "depmod": "kmod"} {
		if _, err := need(ctx, progress, program, pkg); err != nil {
			return err
		}
	}
	tree := filepath.Join(dir, "lib", "modules", release)
	var packed []string
	err := filepath.WalkDir(tree, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".ko.xz") {
			packed = append(packed, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for chunk := range slices.Chunk(packed, 200) {
		if _, err := output(exec.CommandContext(ctx, "xz", append([]string{"-d", "-T1"}, chunk...)...)); err != nil {
			return err
		}
	}
	depmod, err := lookTool("depmod")
	if err != nil {
		return err
	}
	_, err = output(exec.CommandContext(ctx, depmod, "-b", dir, release))
	return err
}

// kernelStore remembers which kernel a selector meant, so that a second run asks
// no mirror.
type kernelStore struct{ dir string }

func (s kernelStore) index() string { return filepath.Join(s.dir, "index.json") }

func (s kernelStore) load() map[string]Kernel {
	known := map[string]Kernel{}
	raw, err := os.ReadFile(s.index())
	if err != nil {
		return known
	}
	// A broken index costs a look-up and nothing else.
	if json.Unmarshal(raw, &known) != nil {
		return map[string]Kernel{}
	}
	return known
}

func (s kernelStore) find(selector string) (Kernel, bool) {
	k, ok := s.load()[selector]
	k.Dir = filepath.Join(s.dir, k.Release+"_"+k.Version)
	return k, ok && exists(filepath.Join(k.Dir, "vmlinuz"))
}

func (s kernelStore) record(k Kernel) error {
	known := s.load()
	known[k.Selector] = k
	raw, err := json.MarshalIndent(known, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.index()+".new", raw, 0o644); err != nil {
		return fmt.Errorf("kernel index: %w", err)
	}
	return os.Rename(s.index()+".new", s.index())
}

// lockFile takes an exclusive lock that other processes honour.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
