package vm

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cavaliergopher/cpio"

	"github.com/beesting-otel/beesting/test/vm/internal/wire"
)

// archive writes the guest's initial file system. It is not compressed: QEMU
// copies it into the guest's memory at the host's speed, while the guest would
// unpack it at a tenth of that.
type archive struct {
	w    *cpio.Writer
	dirs map[string]bool
}

func newArchive(w io.Writer) *archive {
	return &archive{w: cpio.NewWriter(w), dirs: map[string]bool{"/": true, ".": true}}
}

func (a *archive) header(h *cpio.Header) error {
	h.Links = 1
	h.Name = strings.TrimPrefix(path.Clean(h.Name), "/")
	if err := a.w.WriteHeader(h); err != nil {
		return fmt.Errorf("initramfs %s: %w", h.Name, err)
	}
	return nil
}

func (a *archive) dir(name string, perm fs.FileMode) error {
	name = path.Clean(name)
	if a.dirs[name] {
		return nil
	}
	if err := a.dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	a.dirs[name] = true
	return a.header(&cpio.Header{Name: name, Mode: cpio.TypeDir | cpio.FileMode(perm.Perm())})
}

func (a *archive) data(name string, perm fs.FileMode, content []byte) error {
	if err := a.dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	h := &cpio.Header{Name: name, Mode: cpio.TypeReg | cpio.FileMode(perm.Perm()), Size: int64(len(content))}
	if err := a.header(h); err != nil {
		return err
	}
	_, err := a.w.Write(content)
	return err
}

func (a *archive) symlink(name, target string) error {
	if err := a.dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	// The target is the entry's content; the writer leaves that to its caller.
	h := &cpio.Header{Name: name, Mode: cpio.TypeSymlink | 0o777, Size: int64(len(target))}
	if err := a.header(h); err != nil {
		return err
	}
	_, err := io.WriteString(a.w, target)
	return err
}

// copy adds a host file, or a directory with all it holds, as name. A symbolic
// link named by the caller is followed; those inside a directory stay links.
func (a *archive) copy(name, host string) error {
	resolved, err := filepath.EvalSymlinks(host)
	if err != nil {
		return fmt.Errorf("file for the guest: %w", err)
	}
	return filepath.WalkDir(resolved, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("file for the guest: %w", err)
		}
		rel, err := filepath.Rel(resolved, p)
		if err != nil {
			return err
		}
		return a.entry(path.Join(name, filepath.ToSlash(rel)), p, d)
	})
}

func (a *archive) entry(name, host string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch d.Type() {
	case fs.ModeDir:
		return a.dir(name, info.Mode())
	case fs.ModeSymlink:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		return a.symlink(name, target)
	case 0:
		return a.file(name, host, info)
	default:
		return fmt.Errorf("file for the guest %s: neither file, directory nor link", host)
	}
}

func (a *archive) file(name, host string, info fs.FileInfo) error {
	if err := a.dir(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.Open(host)
	if err != nil {
		return fmt.Errorf("file for the guest: %w", err)
	}
	defer f.Close()
	h := &cpio.Header{Name: name, Mode: cpio.TypeReg | cpio.FileMode(info.Mode().Perm()), Size: info.Size()}
	if err := a.header(h); err != nil {
		return err
	}
	if _, err := io.CopyN(a.w, f, info.Size()); err != nil {
		return fmt.Errorf("file for the guest %s: %w", host, err)
	}
	return nil
}

// content is what goes into one guest.
type content struct {
	initPath, busybox string
	kernel            Kernel
	modules           []string
	spec              wire.Spec
	files             map[string]string
}

// writeInitramfs writes the initial file system of one guest to out.
func writeInitramfs(ctx context.Context, out string, c content) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buf := bufio.NewWriterSize(f, 1<<20)
	a := newArchive(buf)
	steps := []func() error{
		func() error { return a.copy("/init", c.initPath) },
		func() error { return a.base(ctx, c.busybox) },
		func() error { return a.kernelModules(c.kernel, c.modules) },
		func() error { return a.files(c) },
		a.w.Close,
		buf.Flush,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) base(ctx context.Context, busybox string) error {
	if err := a.copy("/bin/busybox", busybox); err != nil {
		return err
	}
	// The host's names its commands: the guest's may be of another architecture.
	host, err := lookTool("busybox")
	if err != nil {
		return err
	}
	applets, err := output(exec.CommandContext(ctx, host, "--list"))
	if err != nil {
		return err
	}
	for _, applet := range strings.Fields(string(applets)) {
		if applet == "busybox" {
			continue
		}
		if err := a.symlink("/bin/"+applet, "busybox"); err != nil {
			return err
		}
	}
	// The kernel calls /sbin/modprobe when it needs a module.
	if err := a.symlink("/sbin/modprobe", "/bin/busybox"); err != nil {
		return err
	}
	for _, dir := range []string{"/root", "/mnt", "/newroot", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/var/lib", "/dev", "/proc", "/sys", "/run", "/tmp"} {
		if err := a.dir(dir, 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"/etc/passwd":      "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
		"/etc/group":       "root:x:0:\nnogroup:x:65534:\n",
		"/etc/hosts":       "127.0.0.1 localhost guest\n",
		"/etc/resolv.conf": "nameserver 10.0.2.3\n",
		"/etc/profile":     "PS1='\\u@guest:\\w# '\nexport PS1\n[ -r /etc/motd ] && cat /etc/motd\n",
	} {
		if err := a.data(name, 0o644, []byte(text)); err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) kernelModules(k Kernel, more []string) error {
	guest := "/lib/modules/" + k.Release
	tree, err := readModuleTree(filepath.Join(k.Dir, "lib", "modules", k.Release))
	if err != nil {
		return err
	}
	for _, name := range more {
		if ok, err := tree.has(name); err != nil || !ok {
			return errors.Join(fmt.Errorf("module %s: kernel %s has none of that name", name, k.Release), err)
		}
	}
	paths, err := tree.closure(append(slices.Clone(guestModules[:]), more...))
	if err != nil {
		return err
	}
	for _, p := range paths {
		if err := a.copy(path.Join(guest, p), filepath.Join(tree.dir, p)); err != nil {
			return err
		}
	}
	for _, file := range []string{"modules.dep", "modules.alias"} {
		text, err := tree.index(file, paths)
		if err != nil {
			return err
		}
		if err := a.data(path.Join(guest, file), 0o644, text); err != nil {
			return err
		}
	}
	return a.copy(path.Join(guest, "modules.builtin"), filepath.Join(tree.dir, "modules.builtin"))
}

func (a *archive) files(c content) error {
	spec, err := json.Marshal(c.spec)
	if err != nil {
		return err
	}
	if err := a.data(wire.SpecPath, 0o644, spec); err != nil {
		return err
	}
	prefix := ""
	if c.spec.RootDisk != "" {
		prefix = wire.FilesDir
	}
	for _, guest := range slices.Sorted(mapKeys(c.files)) {
		if err := a.copy(prefix+path.Clean(guest), c.files[guest]); err != nil {
			return err
		}
	}
	return nil
}
