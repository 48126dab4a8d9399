// Command k8s builds what a Kubernetes cluster is made of, and the images that are
// to run in it, and runs the tests of test/k8s as root, in namespaces of their own. The first time takes a quarter of an hour.
//
//	go run ./test/k8s/cmd/k8s [-run REGEXP]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/ctd"
	"github.com/beesting-otel/beesting/test/runtime/parts"
)

// cniPlugins is where Debian's containernetworking-plugins has them.
const cniPlugins = "/usr/lib/cni"

// timeout is for the tests alone, on two slow processors.
const timeout = 40 * time.Minute

func main() {
	pattern := flag.String("run", "", "regular expression of tests, as `go test -run` takes it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *pattern); err != nil {
		fmt.Fprintln(os.Stderr, "k8s:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, pattern string) error {
	cache, err := parts.CacheDir(os.Getenv)
	if err != nil {
		return err
	}
	module, err := os.Getwd()
	if err != nil {
		return err
	}
	say := func(line string) { fmt.Println("    " + line) }
	m := parts.New(cache, module, say)
	if err := m.Install(ctx, "containernetworking-plugins", "iproute2"); err != nil {
		return err
	}
	args, err := build(ctx, m, module, filepath.Join(cache, "k8s"))
	if err != nil {
		return err
	}
	if pattern != "" {
		args = append(args, "-test.run", pattern)
	}
	// From inside of the namespaces, what an earlier run has left can't be seen.
	swept, err := ctd.Sweep("/tmp")
	if err != nil {
		return err
	}
	if len(swept) > 0 {
		say(fmt.Sprintf("removed what earlier runs had left: %v", swept))
	}
	return inNamespace(ctx, args)
}

// build makes the parts and returns the command line of the tests.
func build(ctx context.Context, m *parts.Maker, module, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	test := filepath.Join(dir, "k8s.test")
	args := []string{test, "-test.v", "-test.timeout", timeout.String(), "-cni", cniPlugins, "-chart", filepath.Join(module, "deploy/otel/chart/beesting")}
	for name, command := range map[string][]string{
		"binaries": {"test/k8s/binaries/build.sh"}, "helm": {"hack/tool.sh", "helm"},
		"image": {"hack/image.sh", "beesting", dir}, "receiver-image": {"hack/image.sh", "collector", dir},
	} {
		out, err := script(ctx, command[0], command[1:]...)
		if err != nil {
			return nil, err
		}
		out, _, _ = strings.Cut(out, "@") // an image's digest
		args = append(args, "-"+name, out)
	}
	args = append(args, "-archive", filepath.Join(dir, "beesting.tar"), "-receiver-archive", filepath.Join(dir, "otelcol-beesting.tar"))
	otelcol, err := m.Collector(ctx)
	if err != nil {
		return nil, err
	}
	bundle, err := m.Bundle(ctx, parts.Containerd)
	if err != nil {
		return nil, err
	}
	args = append(args, "-collector", otelcol, "-bundle", string(bundle))
	return args, m.BuildTest(ctx, test, "k8s", "./test/k8s")
}

// script runs one of the repository's and gives the last line of its output back.
func script(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), "ARCHES="+runtime.GOARCH) // of an image, what runs here will do
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1], nil
}

// node makes a machine of its own: the tests have all ports, addresses, processes and
// mounts to themselves, and when its first process ends nothing of it is left. That
// one is a shell, which waits for whatever loses its parent, as an init does. (A
// sensor in a container compares namespaces with those of process 1, which some
// sandboxes let nobody look at.)
const node = `mount --make-rprivate / && mount -t proc proc /proc && "$@"`

func inNamespace(ctx context.Context, command []string) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", node, "sh"}, command...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS, Setpgid: true,
	}
	err := cmd.Run()
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("namespaces of its own need root: %w", err)
	}
	return err
}
