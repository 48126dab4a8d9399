package vm

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// cacheDir returns the harness's directory in the project's cache, and makes it.
func cacheDir() (string, error) {
	root := os.Getenv("BEESTING_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("cache directory: %w", err)
		}
		root = filepath.Join(user, "beesting")
	}
	dir, err := filepath.Abs(filepath.Join(root, "vm"))
	if err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cache directory: %w", err)
	}
	return dir, nil
}

// need makes sure that a program is there and returns its path. It installs the
// Debian package when the program is missing, and tells so on progress.
func need(ctx context.Context, progress io.Writer, program, pkg string) (string, error) {
	if path, err := lookTool(program); err == nil {
		return path, nil
	}
	fmt.Fprintf(progress, "vm: installing %s (for %s)\n", pkg, program)
	install := []string{"install", "-y", "--no-install-recommends", pkg}
	if err := apt(ctx, install...); err != nil {
		// A machine that was never updated has no package lists.
		if err := apt(ctx, "update"); err != nil {
			return "", err
		}
		if err := apt(ctx, install...); err != nil {
			return "", err
		}
	}
	path, err := lookTool(program)
	if err != nil {
		return "", fmt.Errorf("%s, which package %s should bring: %w", program, pkg, err)
	}
	return path, nil
}

// lookTool is exec.LookPath that also looks where only root's PATH leads.
func lookTool(program string) (string, error) {
	if path, err := exec.LookPath(program); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", program, exec.ErrNotFound)
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-qq", "-o", "DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	_, err := output(cmd)
	return err
}

// output runs cmd and returns its standard output; the error carries the end of
// standard error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, lastLines(stderr.Bytes(), 12))
	}
	return out, nil
}

// lastLines returns the last n lines of text.
func lastLines(text []byte, n int) string {
	lines := strings.Split(strings.TrimRight(string(text), "\r\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// busybox returns the path of a static busybox.
func busybox(ctx context.Context, progress io.Writer) (string, error) {
	const pkg = "busybox-static"
	path, err := need(ctx, progress, "busybox", pkg)
	if err != nil {
		return "", err
	}
	static, err := isStatic(path)
	if err != nil || static {
		return path, err
	}
	// Debian's package busybox is in the way: the static one replaces it.
	fmt.Fprintf(progress, "vm: installing %s (the busybox here is not static)\n", pkg)
	if err := apt(ctx, "install", "-y", "--no-install-recommends", pkg); err != nil {
		return "", err
	}
	if static, err = isStatic(path); err != nil {
		return "", err
	}
	if !static {
		return "", fmt.Errorf("%s: not a static program", path)
	}
	return path, nil
}

// guestBusybox returns a static busybox for the guest. One of another
// architecture is unpacked into the cache and never installed.
func guestBusybox(ctx context.Context, a arch, progress io.Writer) (string, error) {
	host, err := busybox(ctx, progress)
	if err != nil || a.name == runtime.GOARCH {
		return host, err
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	path := filepath.Join(dir, "busybox-"+a.name)
	if exists(path) {
		return path, nil
	}
	tmp, err := os.MkdirTemp(dir, ".unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	m := &mirror{dir: filepath.Join(dir, "apt-"+a.name), arch: a, progress: progress}
	if err := errors.Join(m.update(ctx, false), m.download(ctx, tmp, []string{"busybox-static"})); err != nil {
		return "", fmt.Errorf("busybox for %s: %w", a.name, err)
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != 1 {
		return "", errors.Join(fmt.Errorf("busybox for %s: %d packages came", a.name, len(debs)), err)
	}
	if _, err := output(exec.CommandContext(ctx, "dpkg", "-x", debs[0], tmp)); err != nil {
		return "", err
	}
	for _, inside := range []string{"bin/busybox", "usr/bin/busybox"} {
		if p := filepath.Join(tmp, inside); exists(p) {
			return path, os.Rename(p, path)
		}
	}
	return "", fmt.Errorf("busybox for %s: not in %s", a.name, debs[0])
}

// isStatic tells whether a program runs without a dynamic loader.
func isStatic(path string) (bool, error) {
	f, err := elf.Open(path)
	if err != nil {
		return false, fmt.Errorf("program %s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return false, nil
		}
	}
	return true, nil
}

// guestInit builds the guest's first process, anew each time: the Go build cache
// makes that cheap and it can't be out of date.
func guestInit(ctx context.Context, a arch, dir string) (string, error) {
	out := filepath.Join(dir, "init")
	const pkg = "github.com/beesting-otel/beesting/test/vm/internal/guest"
	return out, goBuild(ctx, a, out, "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
}

// goBuild runs the go command for a static program of the guest's architecture.
func goBuild(ctx context.Context, a arch, out string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+a.name)
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("build of %s: %w", filepath.Base(out), err)
	}
	return nil
}

// exists tells whether a file is there.
func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}
