//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/image"
)

// churnPatience is for 50 containers, which take 70 to 90 s on an emulated CPU
// that nobody else slows down.
const churnPatience = 15 * time.Minute

// actor is who a record should name.
type actor struct {
	exe  string
	args []string
	uid  int64
}

// complete checks everything that a record of an open by a process of the
// token's own container has to say.
func (s *suite) complete(t *testing.T, r agentproc.Record, b *box, token, path string, who actor) {
	t.Helper()
	name, tag, _ := strings.Cut(b.image, ":")
	texts := map[string]string{
		"k8s.node.name":             "node-1",
		"k8s.namespace.name":        b.spec.Namespace,
		"k8s.pod.name":              b.spec.Name,
		"k8s.pod.uid":               b.spec.UID,
		"k8s.container.name":        b.name,
		"container.id":              b.id,
		"container.image.name":      name,
		"honeytoken.name":           token,
		"honeytoken.access.kind":    "open",
		"honeytoken.access.outcome": "allowed",
		"honeytoken.actor.class":    "workload",
		"file.path":                 path,
		"process.executable.path":   who.exe,
		"process.executable.name":   filepath.Base(who.exe),
	}
	for key, want := range texts {
		if got := r.Text(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if tags, _ := r.Resource["container.image.tags"].([]any); len(tags) != 1 || tags[0] != tag {
		t.Errorf("container.image.tags is %v, want [%s]", tags, tag)
	}
	if got := r.Texts("process.command_args"); !slices.Equal(got, who.args) {
		t.Errorf("process.command_args is %q, want %q", got, who.args)
	}
	for _, key := range []string{"process.pid", "process.parent_pid", "process.session_leader.pid", "honeytoken.process.entry.pid", "honeytoken.process.tid"} {
		if n, ok := r.Int(key); !ok || n <= 0 {
			t.Errorf("%s is %d, %t", key, n, ok)
		}
	}
	for key, want := range map[string]int64{
		"honeytoken.access.count": 1, "process.user.id": who.uid, "process.real_user.id": who.uid,
	} {
		if n, ok := r.Int(key); !ok || n != want {
			t.Errorf("%s is %d, %t, want %d", key, n, ok, want)
		}
	}
	missing := r.Texts("honeytoken.access.partial")
	if *attachMode == "kprobe" { // can't have it; /proc is asked, if the process is still there
		missing = slices.DeleteFunc(missing, func(part string) bool { return part == "process.working_directory" })
	}
	if len(missing) > 0 {
		t.Errorf("the access is partial: %v", missing)
	}
	s.identified(t, r, b)
}

// identified checks ids and times.
func (s *suite) identified(t *testing.T, r agentproc.Record, b *box) {
	t.Helper()
	if r.EventName != "honeytoken.access" || r.SeverityNumber != 17 {
		t.Errorf("event %q of severity %d, want honeytoken.access and 17", r.EventName, r.SeverityNumber)
	}
	if len(strings.Trim(r.TraceID, "0")) == 0 || len(r.TraceID) != 32 || len(strings.Trim(r.SpanID, "0")) == 0 || len(r.SpanID) != 16 {
		t.Errorf("trace id %q, span id %q", r.TraceID, r.SpanID)
	}
	if r.Text("honeytoken.id") == "" || uid(r) == "" {
		t.Error("honeytoken.id or log.record.uid is missing")
	}
	if !strings.Contains(r.Body, b.spec.Namespace+"/"+b.spec.Name) {
		t.Errorf("the body does not name the pod: %s", r.Body)
	}
	dir, err := s.node.CgroupDir(b.spec.UID, b.id)
	if err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	if err := syscall.Stat(dir, &st); err != nil {
		return // the container has ended; its cgroup went with it
	}
	if got := r.Text("honeytoken.process.cgroup.id"); got != strconv.FormatUint(st.Ino, 10) {
		t.Errorf("honeytoken.process.cgroup.id is %q, want the container's %d", got, st.Ino)
	}
	created, err := time.Parse(time.RFC3339Nano, r.Text("process.creation.time"))
	if err != nil || time.Since(created) > 5*time.Minute || time.Since(created) < 0 {
		t.Errorf("process.creation.time is %q, %v ago", r.Text("process.creation.time"), time.Since(created))
	}
}

// cat is the usual actor: busybox's cat, run by exec as root.
func cat(path string) actor {
	return actor{exe: "/bin/busybox", args: []string{"cat", path}, uid: 0}
}

// touch: one process reads one token, once.
func (s *suite) touch(t *testing.T) {
	s.attached(t)
	b := s.runForever(t, pod{ns: "shop", name: "web", labels: map[string]string{"app": "web"}})
	if got := s.exec(t, b, "cat", awsPath); !strings.Contains(got, "AKIAIOSFODNN7EXAMPLE") {
		t.Errorf("the token reads %q", got)
	}
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
	if kind := got[0].Text("honeytoken.kind"); kind != "aws-credentials" {
		t.Errorf("honeytoken.kind is %q", kind)
	}
	s.exec(t, b, "cat", dbPath)
	got = s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "db", dbPath, cat(dbPath))
	s.remove(t, b)
}

// processIdentity compares what is reported of a process with what the host
// sees of it while it is still there: an unprivileged shell that reads the token
// itself and then becomes another program.
func (s *suite) processIdentity(t *testing.T) {
	b := s.runForever(t, pod{ns: "bank", name: "teller", user: 1000})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ended := make(chan error, 1)
	script := "read x < " + dbPath + "; exec sleep 4321"
	go func() {
		_, err := s.node.CRI().Exec(ctx, b.id, "sh", "-c", script)
		ended <- err
	}()
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "db", dbPath, actor{exe: "/bin/busybox", args: []string{"sh", "-c", script}, uid: 1000})
	var pid, parent int64
	eventually(t, "the shell to become sleep", func() bool {
		var err error
		pid, parent, err = s.findProcess(b, "sleep\x004321\x00")
		return err == nil
	})
	for key, want := range map[string]int64{
		"process.pid": pid, "honeytoken.process.tid": pid, "process.parent_pid": parent, "honeytoken.process.entry.pid": pid,
	} {
		if n, _ := got[0].Int(key); n != want {
			t.Errorf("%s is %d, want %d", key, n, want)
		}
	}
	if pid == 0 {
		t.FailNow()
	}
	if err := syscall.Kill(int(pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// findProcess finds a process of the container by its command line and returns
// its and its parent's id on the host.
func (s *suite) findProcess(b *box, cmdline string) (pid, parent int64, err error) {
	dir, err := s.node.CgroupDir(b.spec.UID, b.id)
	if err != nil {
		return 0, 0, err
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return 0, 0, err
	}
	for _, p := range strings.Fields(string(procs)) {
		if got, err := os.ReadFile("/proc/" + p + "/cmdline"); err != nil || string(got) != cmdline {
			continue
		}
		status, err := os.ReadFile("/proc/" + p + "/status")
		if err != nil {
			return 0, 0, err
		}
		_, rest, _ := strings.Cut(string(status), "\nPPid:\t")
		ppid, _, _ := strings.Cut(rest, "\n")
		if pid, err = strconv.ParseInt(p, 10, 64); err != nil {
			return 0, 0, err
		}
		parent, err = strconv.ParseInt(ppid, 10, 64)
		return pid, parent, err
	}
	return 0, 0, fmt.Errorf("no process %q in %s", cmdline, dir)
}

// firstInstruction: the entry point's first system call opens the token, and
// the container is gone right after.
func (s *suite) firstInstruction(t *testing.T) {
	b := s.run(t, pod{ns: "shop", name: "first", image: image.Scratch, args: []string{awsPath}})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	state, err := s.node.CRI().WaitExited(ctx, b.id)
	if err != nil || state.ExitCode != 0 {
		t.Errorf("the entry point could not open the token: %+v, %v", state, err)
	}
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, actor{exe: "/first", args: []string{"/first", awsPath}, uid: 0})
}

// twoPods: each touch is put down to the right one of two pods.
func (s *suite) twoPods(t *testing.T) {
	one := s.runForever(t, pod{ns: "shop", name: "one"})
	two := s.runForever(t, pod{ns: "bank", name: "two"})
	for _, b := range []*box{two, one} {
		s.exec(t, b, "cat", awsPath)
		got := s.expect(t, 1, b.owns)
		s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
	}
	s.exec(t, one, "cat", awsPath)
	s.exec(t, two, "cat", awsPath)
	ids := map[string]bool{}
	for _, r := range s.expect(t, 2, func(r agentproc.Record) bool { return one.owns(r) || two.owns(r) }) {
		ids[r.Text("honeytoken.id")] = true
	}
	if len(ids) != 2 {
		t.Errorf("the tokens of two containers share the id %v", ids)
	}
}

// unmatchedPod: no tokens outside the configured namespaces and labels.
func (s *suite) unmatchedPod(t *testing.T) {
	for _, p := range []pod{
		{ns: "default", name: "elsewhere"},
		{ns: "shop", name: "opted-out", labels: map[string]string{"tokens": "off"}},
	} {
		b := s.runForever(t, p)
		s.absent(t, b, awsPath)
		s.absent(t, b, dbPath)
	}
}

// parallel: 200 short-lived processes at a time, none lost, none told twice,
// none incomplete.
func (s *suite) parallel(t *testing.T) {
	const n = 200
	s.attached(t)
	b := s.runForever(t, pod{ns: "bank", name: "busy"})
	done := timed(t, "200 processes")
	s.exec(t, b, "sh", "-c", fmt.Sprintf("for i in $(seq %d); do cat %s >/dev/null & done; wait", n, dbPath))
	done()
	if *attachMode == "fentry" || *attachMode == "kprobe" {
		s.skipping(t, b, n)
		return
	}
	pids := map[int64]bool{}
	for _, r := range s.expect(t, n, b.owns) {
		s.complete(t, r, b, "db", dbPath, cat(dbPath))
		pid, _ := r.Int("process.pid")
		pids[pid] = true
		if t.Failed() {
			t.Fatalf("the record that is not right: %+v", r)
		}
	}
	if len(pids) != n {
		t.Errorf("%d different processes, want %d", len(pids), n)
	}
}

// skipping holds a mode whose programs the kernel can skip to what it promises
// where the kernel preempts: a trampoline does not run an fentry program that
// another task, preempted, is inside of on the same processor
// (__bpf_prog_enter_recur), and no kprobe runs its program while a bpf(2) call on
// a map is in progress on that processor (bpf_disable_instrumentation), both in
// docs/sensor.md. The process is told by its read then. Every open that is not told
// must have been counted by the kernel.
func (s *suite) skipping(t *testing.T, b *box, n int) {
	t.Helper()
	s.barrier(t)
	got, err := s.agent.All(func(r agentproc.Record) bool { return b.owns(r) && !s.claimed[uid(r)] })
	if err != nil {
		t.Fatal(err)
	}
	s.claim(t, got)
	opens, opened, told := 0, map[int64]bool{}, map[int64]bool{}
	for _, r := range got {
		pid, _ := r.Int("process.pid")
		told[pid] = true
		switch kind := r.Text("honeytoken.access.kind"); kind {
		case "open":
			opens++
			opened[pid] = true
			s.complete(t, r, b, "db", dbPath, cat(dbPath))
		case "read":
		default:
			t.Errorf("an access of kind %q: %s", kind, r.Body)
		}
	}
	status, err := s.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	skipped, counted := n-opens, status.Events.Lost["recursion"]
	switch {
	case opens != len(opened) || len(told) > n:
		t.Errorf("%d opens by %d processes, %d told of %d", opens, len(opened), len(told), n)
	case uint64(skipped) > counted:
		t.Errorf("%d opens of %d are told, and %d are counted as lost by recursion", opens, n, counted)
	}
	t.Logf("%d of %d opens and %d processes were skipped by the kernel; it counts %d", skipped, n, n-len(told), counted)
}

// churn: 50 containers with tokens come and go, a command is run in each, and
// nobody touches one: what the runtime does to set containers up, to enter them
// and to take them down is no access. That nothing was reported is what every
// scenario ends with.
func (s *suite) churn(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), churnPatience)
	defer cancel()
	s.lifecycles(ctx, t, 50, nil)
}
