//go:build k8s

package k8s

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// processes are those whose command line is like this one.
func processes(args ...string) ([]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || !strings.HasPrefix(string(b), strings.Join(args, "\x00")+"\x00") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		if ours(pid) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// ours says whether a process belongs to this test's cluster: others may test on
// this machine at the same time.
func ours(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(b), nodeName)
}

// nodeName is the name of the node's cgroup; set once, when the node is there.
var nodeName string

// killAgent ends the agent as nobody should.
func killAgent(t *testing.T) {
	t.Helper()
	pids, err := processes("/usr/bin/beesting", "agent")
	if err != nil || len(pids) != 1 {
		t.Fatalf("agents: %v, %v", pids, err)
	}
	if err := syscall.Kill(pids[0], syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

// killInit ends a container's first process.
func killInit(t *testing.T, of target) {
	t.Helper()
	pids, err := processes("sleep", "36000")
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && strings.Contains(string(b), of.id) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no process of %s among %v", of.pod, pids)
}

// successor waits for the container that the kubelet starts in a pod after one
// that has ended, without the API server.
func (s *suite) successor(t *testing.T, of target) target {
	t.Helper()
	next := of
	eventually(t, "the kubelet to start the container again", func() error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		ids, err := s.cluster.Node.CRI().RunningContainers(ctx, of.uid)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if id != of.id {
				next.id = id
				return nil
			}
		}
		return fmt.Errorf("running in the pod: %q", ids)
	})
	return next
}

// agentWatches asks the agent without the API server: by a run of its program in
// its container.
func (s *suite) agentWatches() error {
	pids, err := processes("/usr/bin/beesting", "agent")
	if err != nil || len(pids) != 1 {
		return fmt.Errorf("agents: %v, %w", pids, err)
	}
	cgroup, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pids[0]))
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(cgroup)), "\n")
	id := first[strings.LastIndexByte(first, '/')+1:]
	r, err := s.cluster.Node.CRI().Exec(context.Background(), id, "beesting", "status", "--check")
	if err == nil && r.ExitCode != 0 {
		err = errors.New(string(r.Stdout) + string(r.Stderr))
	}
	return err
}
