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
	binaries, err := script(ctx, "test/k8s/binaries/build.sh")
	if err != nil {
		return err
	}
	helm, err := script(ctx, "hack/tool.sh", "helm")
	if err != nil {
		return err
	}
	otelcol, err := m.Collector(ctx)
	if err != nil {
		return err
	}
	bundle, err := m.Bundle(ctx, parts.Containerd)
	if err != nil {
		return err
	}
	image, err := script(ctx, "hack/image.sh", "beesting")
	if err != nil {
		return err
	}
	bin := filepath.Join(cache, "e2e")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	test := filepath.Join(bin, "k8s.test")
	if err := m.BuildTest(ctx, test, "k8s", "./test/k8s"); err != nil {
		return err
	}
	name, _, _ := strings.Cut(image, "@")
	args := []string{
		"-test.v", "-test.timeout", timeout.String(), "-binaries", binaries, "-helm", helm, "-collector", otelcol, "-bundle", string(bundle),
		"-cni", cniPlugins, "-image", name, "-archive", filepath.Join(module, "dist/image/beesting.tar"), "-chart", filepath.Join(module, "deploy/otel/chart/beesting"),
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
	return inNamespace(ctx, test, args)
}

// script runs one of the repository's and gives the last line of its output back.
func script(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
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

func inNamespace(ctx context.Context, test string, args []string) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", node, "sh", test}, args...)...)
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
