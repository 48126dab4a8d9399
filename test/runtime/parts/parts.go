// Package parts makes what a node needs on a machine with Go, apt and the
// module proxy, but no image registry: containerd, runc and a few images, put
// together in one directory. What takes long is made once and kept in a cache.
package parts

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// The containerds that the scenarios run on; ctd has a configuration for either.
const (
	Containerd    = "v2.4.2"
	OldContainerd = "v1.7.29"
)

// runcVersion is of the runc that pods with a user namespace get: containerd asks
// for id-mapped mounts, which Debian 12's runc 1.1 doesn't have. It is the newest
// that `go install` takes; those after it have replace directives.
const runcVersion = "v1.3.0"

// waitDelay is how long a command may take to end when it is told to.
const waitDelay = 5 * time.Second

// Maker makes parts. It is safe for concurrent use if its log is.
type Maker struct {
	cache  string
	module string
	log    func(string)
}

// CacheDir is where built and downloaded things are kept: $BEESTING_CACHE, or
// "beesting" below the user's cache directory.
func CacheDir(getenv func(string) string) (string, error) {
	if dir := getenv("BEESTING_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if dir := getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "beesting"), nil
	}
	home := getenv("HOME")
	if home == "" {
		return "", errors.New("cache directory: none of BEESTING_CACHE, XDG_CACHE_HOME and HOME is set")
	}
	return filepath.Join(home, ".cache", "beesting"), nil
}

// New returns a maker that keeps its work in cache and builds this module's
// own programs from the source tree at module. log gets one line per step.
func New(cache, module string, log func(string)) *Maker {
	return &Maker{cache: cache, module: module, log: log}
}

// containerd builds containerd, its runc shim and ctr from the module proxy and
// returns their directory. The first time takes minutes.
func (m *Maker) containerd(ctx context.Context, version string) (string, error) {
	dir := filepath.Join(m.cache, "containerd", version+"-"+runtime.GOARCH)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	m.log("containerd " + version + ": building from source, once (3 to 5 minutes of CPU time)")
	err := atomically(dir, func(tmp string) error { return m.buildContainerd(ctx, version, tmp) })
	if err != nil {
		return "", fmt.Errorf("containerd %s: %w", version, err)
	}
	return dir, nil
}

func (m *Maker) buildContainerd(ctx context.Context, version, into string) error {
	// Static, so that they run in a guest without libraries, and without the
	// snapshotters that need C libraries.
	flags := []string{"-v", "-ldflags", "-s -w", "-tags", "no_btrfs no_devmapper no_zfs"}
	names := []string{"cmd/containerd", "cmd/containerd-shim-runc-v2", "cmd/ctr"}
	const module = "github.com/containerd/containerd"
	if !strings.HasPrefix(version, "v1.") {
		args := append([]string{"install"}, flags...)
		for _, name := range names {
			args = append(args, module+"/v2/"+name+"@"+version)
		}
		return m.goTool(ctx, "containerd "+version, []string{"GOBIN=" + into, "GOGC=400"}, args...)
	}
	// `go install` takes no module with an exclude directive, which this one has.
	out, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version).Output()
	if err != nil {
		return fmt.Errorf("download: %w: %s", err, out)
	}
	var source struct{ Dir string }
	if err := json.Unmarshal(out, &source); err != nil {
		return fmt.Errorf("download: %w", err)
	}
	args := append([]string{"build", "-C", source.Dir, "-mod=readonly", "-o", into + "/"}, flags...)
	for _, name := range names {
		args = append(args, "./"+name)
	}
	return m.goTool(ctx, "containerd "+version, []string{"GOGC=400"}, args...)
}

// Runc builds a runc with id-mapped mounts from the module proxy and returns its
// path. Its first steps in a new namespace are C, and what it has no library for
// in a guest is left out: seccomp.
func (m *Maker) Runc(ctx context.Context) (string, error) {
	dir := filepath.Join(m.cache, "runc", runcVersion+"-"+runtime.GOARCH)
	if _, err := os.Stat(dir); err == nil {
		return filepath.Join(dir, "runc"), nil
	}
	if err := m.Install(ctx, "gcc", "libc6-dev"); err != nil {
		return "", err
	}
	err := atomically(dir, func(tmp string) error {
		return m.goTool(ctx, "runc "+runcVersion, []string{"GOBIN=" + tmp, "CGO_ENABLED=1"},
			"install", "-v", "-ldflags", "-s -w -extldflags -static", "-tags", "netgo osusergo",
			"github.com/opencontainers/runc@"+runcVersion)
	})
	if err != nil {
		return "", fmt.Errorf("runc %s: %w", runcVersion, err)
	}
	return filepath.Join(dir, "runc"), nil
}

// Build builds commands of this module, static, into dir. Packages are given as
// "./cmd/beesting".
func (m *Maker) Build(ctx context.Context, dir string, packages ...string) error {
	args := append([]string{"build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", dir + "/"}, packages...)
	if err := m.goTool(ctx, "beesting", nil, args...); err != nil {
		return fmt.Errorf("build of %v: %w", packages, err)
	}
	return nil
}

// BuildTest builds a package's tests with a build tag into the static test
// binary file.
func (m *Maker) BuildTest(ctx context.Context, file, tag, pkg string) error {
	err := m.goTool(ctx, "tests", nil, "test", "-c", "-v", "-trimpath", "-ldflags", "-s -w", "-tags", tag, "-o", file, pkg)
	if err != nil {
		return fmt.Errorf("tests of %s: %w", pkg, err)
	}
	return nil
}

// Collector builds the OpenTelemetry Collector of the tests, by its own script,
// and returns its path.
func (m *Maker) Collector(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "test/collector/build.sh")
	cmd.Dir = m.module
	cmd.WaitDelay = waitDelay
	cmd.Env = append(os.Environ(), "BEESTING_CACHE="+m.cache)
	var complaints bytes.Buffer
	cmd.Stderr = io.MultiWriter(&complaints, NewLines(m.log))
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("OpenTelemetry Collector: %w\n%s", err, complaints.Bytes())
	}
	return string(bytes.TrimSpace(out)), nil
}

// ReceiverCollector builds the Collector of builder-config.yaml, which has this
// module's receiver in it, by its own script, and returns its path. It is built
// in the tree each time: that is where the stock builder takes the receiver
// from.
func (m *Maker) ReceiverCollector(ctx context.Context) (string, error) {
	m.log("building the Collector of builder-config.yaml")
	cmd := exec.CommandContext(ctx, "hack/collector.sh")
	cmd.Dir = m.module
	cmd.WaitDelay = waitDelay
	cmd.Env = append(os.Environ(), "BEESTING_CACHE="+m.cache)
	log := NewLines(m.log)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("Collector of builder-config.yaml: %w", err)
	}
	return filepath.Join(m.module, "dist", "otelcol-beesting"), nil
}

// goTool runs the go command in the module's directory and logs, every few
// seconds, how many packages it has compiled so far.
func (m *Maker) goTool(ctx context.Context, what string, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = m.module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Env = append(cmd.Env, env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = waitDelay
	p := newProgress(what, m.log)
	defer p.stop()
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", args[0], err, p.tail())
	}
	return nil
}

// atomically makes the directory dir: fill writes into a temporary one beside
// it, which gets its name when it is complete. When somebody else was quicker,
// theirs stands.
func atomically(dir string, fill func(tmp string) error) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, statErr := os.Stat(dir); statErr != nil {
			return err
		}
	}
	return nil
}

func copyFile(dst, src string, mode os.FileMode) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return errors.Join(err, out.Close())
	}
	return out.Close()
}
