//go:build e2e

package ctd_test

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/cri"
	"github.com/beesting-otel/beesting/test/runtime/ctd"
	"github.com/beesting-otel/beesting/test/runtime/image"
)

var (
	bundle = flag.String("bundle", "", "directory with the parts of a node")
	leave  = flag.String("leave", "", "for TestSweep's child: start a node below this directory and hang")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if *leave != "" {
		if err := leaveNode(context.Background(), *leave); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// leaveNode starts a node with a pod and waits to be killed.
func leaveNode(ctx context.Context, base string) error {
	n, err := ctd.Start(ctx, ctd.Bundle(*bundle), base)
	if err != nil {
		return err
	}
	if _, err := startPod(ctx, n.CRI()); err != nil {
		return err
	}
	os.Stdout.WriteString("ready\n")
	select {}
}

func startPod(ctx context.Context, c *cri.Client) (container string, err error) {
	pod := cri.Pod{Name: "p", Namespace: "default", UID: "uid-1"}
	sandbox, err := c.RunPod(ctx, pod)
	if err != nil {
		return "", err
	}
	container, err = c.CreateContainer(ctx, sandbox, pod, cri.Container{
		Name: "c", Image: image.Busybox, Command: []string{"sleep", "3600"}, RunAsUser: 1000,
	})
	if err != nil {
		return "", err
	}
	return container, c.StartContainer(ctx, container)
}

func TestPodLivesThroughRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	begin := time.Now()
	n, err := ctd.Start(ctx, ctd.Bundle(*bundle), "/tmp")
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = n.Close()
		}
	}()
	t.Logf("containerd ready with images after %v", time.Since(begin))
	container, err := startPod(ctx, n.CRI())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("pod runs after %v", time.Since(begin))
	for range 2 {
		r, err := n.CRI().Exec(ctx, container, "id", "-u")
		if err != nil || string(r.Stdout) != "1000\n" || r.ExitCode != 0 {
			t.Errorf("id -u: %q, exit code %d, %v", r.Stdout, r.ExitCode, err)
		}
		if err := n.Restart(ctx); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("restarted twice after %v", time.Since(begin))
	closed = true
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	nothingLeft(t, n.Dir())
	t.Logf("gone after %v", time.Since(begin))
}

func TestSweepAfterKill(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	base, err := os.MkdirTemp("/tmp", "s-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(base)
	child := exec.CommandContext(ctx, os.Args[0], "-bundle", *bundle, "-leave", base)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	if swept, err := ctd.Sweep(base); err != nil || len(swept) != 0 {
		t.Errorf("sweep beside a live node: removed %q, %v", swept, err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	swept, err := ctd.Sweep(base)
	if err != nil || len(swept) != 1 {
		t.Fatalf("sweep after the kill: removed %q, %v", swept, err)
	}
	nothingLeft(t, swept[0])
}

// nothingLeft looks for mounts and cgroups by the node's name, and for
// processes by its directory.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s is still there", dir)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), dir) {
		t.Errorf("mounts below %s are still there", dir)
	}
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // other people's cgroups come and go
		}
		if err == nil && d.Name() == filepath.Base(dir) {
			t.Errorf("cgroup %s is still there", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
