package parts

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/beesting-otel/beesting/test/runtime/image"
)

// Bundle is a directory with the parts of a node. Its name is a digest of its
// content, so it never changes.
//
//	bin/containerd, bin/containerd-shim-runc-v2, bin/ctr, bin/runc
//	bin/idmap/runc  a newer one, see Runc
//	images.tar   OCI layout of image.Set
//	sysroot/     shared libraries of runc, where its loader looks for them
type Bundle string

// Sysroot is what a file system without a distribution needs for runc.
func (b Bundle) Sysroot() string { return filepath.Join(string(b), "sysroot") }

// Key names the bundle's content.
func (b Bundle) Key() string { return filepath.Base(string(b)) }

// Bundle makes the bundle with a version of containerd, or finds it in the cache.
func (m *Maker) Bundle(ctx context.Context, containerd string) (Bundle, error) {
	if err := m.Install(ctx, "runc", "busybox-static"); err != nil {
		return "", err
	}
	daemons, err := m.containerd(ctx, containerd)
	if err != nil {
		return "", err
	}
	images, err := m.images(ctx)
	if err != nil {
		return "", fmt.Errorf("images: %w", err)
	}
	files, err := bundleFiles(ctx, daemons)
	if err != nil {
		return "", err
	}
	if files["bin/idmap/runc"], err = m.Runc(ctx); err != nil {
		return "", err
	}
	key, err := digest(files, images)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(m.cache, "bundle", key)
	if _, err := os.Stat(dir); err == nil {
		return Bundle(dir), nil
	}
	err = atomically(dir, func(tmp string) error {
		for dst, src := range files {
			if err := copyFile(filepath.Join(tmp, dst), src, 0o755); err != nil {
				return err
			}
		}
		return os.WriteFile(filepath.Join(tmp, "images.tar"), images, 0o644)
	})
	if err != nil {
		return "", fmt.Errorf("bundle %s: %w", key, err)
	}
	return Bundle(dir), nil
}

// bundleFiles maps names in the bundle to files of this machine.
func bundleFiles(ctx context.Context, daemons string) (map[string]string, error) {
	runc, err := findProgram("runc")
	if err != nil {
		return nil, err
	}
	files := map[string]string{"bin/runc": runc}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		files["bin/"+name] = filepath.Join(daemons, name)
	}
	libs, err := sharedLibraries(ctx, runc)
	if err != nil {
		return nil, err
	}
	for _, lib := range libs {
		files["sysroot"+lib] = lib
	}
	return files, nil
}

// sharedLibraries asks the loader which libraries a program needs, the loader
// itself included; none for a static one.
func sharedLibraries(ctx context.Context, program string) ([]string, error) {
	static, err := isStatic(program)
	if err != nil || static {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "ldd", program).Output()
	if err != nil {
		return nil, fmt.Errorf("shared libraries of %s: %w", program, err)
	}
	var libs []string
	for line := range strings.Lines(string(out)) {
		// "libc.so.6 => /lib/…/libc.so.6 (0x…)" or "/lib64/ld-….so.2 (0x…)"
		for _, f := range strings.Fields(line) {
			if strings.HasPrefix(f, "/") {
				libs = append(libs, f)
			}
		}
	}
	if len(libs) == 0 {
		return nil, fmt.Errorf("shared libraries of %s: none in the loader's answer %q", program, out)
	}
	return libs, nil
}

func isStatic(program string) (bool, error) {
	f, err := elf.Open(program)
	if err != nil {
		return false, err
	}
	defer f.Close()
	return !slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }), nil
}

// findProgram looks where Debian puts programs for root too, whatever the PATH.
func findProgram(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin", "/usr/bin", "/bin") {
		path := filepath.Join(dir, name)
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("program %s: %w", name, exec.ErrNotFound)
}

// images makes the image tar: the programs are built or taken from the machine.
func (m *Maker) images(ctx context.Context) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "beesting-images-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	if err := m.Build(ctx, tmp, "./test/runtime/programs/pause"); err != nil {
		return nil, err
	}
	pause, err := os.ReadFile(filepath.Join(tmp, "pause"))
	if err != nil {
		return nil, err
	}
	busybox, err := staticBusybox()
	if err != nil {
		return nil, err
	}
	first, err := image.First(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	err = image.Write(&buf, image.Set(runtime.GOARCH, pause, busybox, first)...)
	return buf.Bytes(), err
}

func staticBusybox() ([]byte, error) {
	path, err := findProgram("busybox")
	if err != nil {
		return nil, err
	}
	static, err := isStatic(path)
	if err != nil {
		return nil, err
	}
	if !static {
		return nil, errors.New(path + " is linked dynamically: the package busybox-static has a static one")
	}
	return os.ReadFile(path)
}

// digest names a bundle by what goes into it.
func digest(files map[string]string, images []byte) (string, error) {
	h := sha256.New()
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		f, err := os.Open(files[name])
		if err != nil {
			return "", err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %x\n", name, sum.Sum(nil))
	}
	fmt.Fprintf(h, "images.tar %x\n", sha256.Sum256(images))
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
