//go:build e2e

package e2e

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/cri"
)

// absoluteSymlink: the image's /var/run is a link to /run. The token must stand
// in the container's /run and be watched there, and the host's stays as it was.
func (s *suite) absoluteSymlink(t *testing.T) {
	onHost := "/run/secrets/cloud"
	if _, err := os.Lstat(onHost); err == nil {
		t.Fatalf("%s is already there", onHost)
	}
	b := s.runForever(t, pod{ns: "shop", name: "linked"})
	for _, path := range []string{linkPath, "/run/secrets/cloud/token"} {
		s.exec(t, b, "cat", path)
		got := s.expect(t, 1, b.owns)
		s.complete(t, got[0], b, "cloud", linkPath, cat(path))
	}
	if _, err := os.Lstat(onHost); err == nil {
		t.Errorf("%s was made on the host", onHost)
	}
}

// readOnlyVolume: runc could not make the mount point of the db token, so that
// one is left out, and the container has the others.
func (s *suite) readOnlyVolume(t *testing.T) {
	b := s.runForever(t, pod{ns: "shop", name: "readonly", mounts: []cri.Mount{
		{HostPath: s.volume(t, "ro"), ContainerPath: filepath.Dir(dbPath), ReadOnly: true},
	}})
	s.absent(t, b, dbPath)
	s.exec(t, b, "cat", awsPath)
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
	s.lacking(t, s.agent, b, tokenCount-1, "read-only")
}

// lacking checks that status tells of a container with too few tokens, and why.
func (s *suite) lacking(t *testing.T, agent *agentproc.Agent, b *box, planted int, why string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last agentproc.Unplanted
	err := agent.WaitStatus(ctx, "container "+b.spec.Name+" among those that lack tokens", func(st agentproc.Status) bool {
		var ok bool
		last, ok = st.Lacks(b.id)
		return ok && st.Lacking > 0
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, agent.LogTail())
	}
	if last.Wanted != tokenCount || last.Planted != planted || !strings.Contains(last.Why, why) {
		t.Errorf("status says %+v, want %d of %d planted because of %q", last, planted, tokenCount, why)
	}
}

// linkToReadOnlyVolume: a link in the image leads a token into a read-only
// volume, which nobody can know before the container's files are there. runc
// can't start that container. The next attempt, as a kubelet makes it, has to
// start, and gets what can be mounted when it is there: all but that token.
func (s *suite) linkToReadOnlyVolume(t *testing.T) {
	p := pod{
		ns: "shop", name: "odd", command: []string{"sleep", "36000"},
		mounts: []cri.Mount{{HostPath: s.volume(t, "odd"), ContainerPath: "/data", ReadOnly: true}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b := s.create(t, p)
	if err := s.node.CRI().StartContainer(ctx, b.id); err == nil {
		s.exec(t, b, "cat", oddPath) // better than hoped for; then it has to be right
		s.expect(t, 1, b.owns)
		return
	}
	if err := s.node.CRI().RemoveContainer(ctx, b.id); err != nil {
		t.Fatal(err)
	}
	b.id = s.addContainer(ctx, t, b, p)
	if err := s.node.CRI().StartContainer(ctx, b.id); err != nil {
		t.Fatalf("the second attempt: %v", err)
	}
	s.mustRun(t, b)
	s.exec(t, b, "cat", awsPath)
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
	s.absent(t, b, oddPath)
	s.lacking(t, s.agent, b, tokenCount-1, "another mount")
}

// volume makes a directory with a file of its own.
func (s *suite) volume(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(s.node.Dir(), "volume-"+name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "data"), []byte("x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// slowAgent: an agent that does not answer. containerd gives up on it after its
// 2 s, the container starts without tokens, and gets them when the agent comes
// back.
func (s *suite) slowAgent(t *testing.T) {
	if err := s.agent.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	b := s.runForever(t, pod{ns: "shop", name: "impatient"})
	took := time.Since(begin)
	s.absent(t, b, awsPath)
	if err := s.agent.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	t.Logf("the pod ran %.1f s after it was asked for, with a stopped agent", took.Seconds())
	if took > 30*time.Second {
		t.Error("the container waited for the agent")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.agent.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	s.caughtUp(t, b)
	next := s.runForever(t, pod{ns: "shop", name: "patient"})
	s.exec(t, next, "cat", awsPath)
	s.expect(t, 1, next.owns)
}

// stateDirReadOnly and stateDirFull: planting fails, containers start.
func (s *suite) stateDirReadOnly(t *testing.T) {
	// With a journal, which is open for writing, nobody can remount the disk.
	s.brokenState(t, "size=1m", true, func(dir string) error {
		return unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "size=1m")
	})
}

func (s *suite) stateDirFull(t *testing.T) {
	s.brokenState(t, "size=256k", false, func(dir string) error {
		f, err := os.Create(filepath.Join(dir, "filler"))
		if err != nil {
			return err
		}
		defer f.Close()
		for err == nil {
			_, err = f.Write(make([]byte, 4096))
		}
		return nil // full
	})
}

// brokenState runs a second agent, alone, whose state directory breaks while it
// runs.
func (s *suite) brokenState(t *testing.T, options string, noJournal bool, breakIt func(dir string) error) {
	s.stopAgent(t)
	defer s.startAgent(t)
	cfg := s.config
	cfg.HTTP = "" // the suite's agent has the address
	cfg.Dir = filepath.Join(s.node.Dir(), "agent2")
	cfg.StateDir = filepath.Join(s.node.Dir(), "state2")
	cfg.NoJournal = noJournal
	if err := os.MkdirAll(cfg.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("state", cfg.StateDir, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Unmount(cfg.StateDir, unix.MNT_DETACH) }()
	agent, err := agentproc.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := agent.Stop(); err != nil {
			t.Error(err)
		}
	}()
	if err := breakIt(cfg.StateDir); err != nil {
		t.Fatal(err)
	}
	b := s.runForever(t, pod{ns: "shop", name: "unplanted"})
	s.absent(t, b, awsPath)
	s.lacking(t, agent, b, 0, "")
}

// twoAgents: a second agent for the same runtime, with directories of its own,
// would mount the same paths, and then every container fails. It has to step
// back at once, with one clear line, and the first goes on undisturbed.
func (s *suite) twoAgents(t *testing.T) {
	cfg := s.config
	cfg.HTTP = "" // the suite's agent has the address
	cfg.Dir = filepath.Join(s.node.Dir(), "agent2")
	cfg.PluginName = "second"
	second, err := agentproc.Launch(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, err := second.WaitExit(ctx)
	if err != nil {
		t.Errorf("the second agent: %v\n%s", err, errors.Join(second.Kill()))
	}
	if code == 0 {
		t.Error("the second agent ended with 0")
	}
	t.Logf("the second agent said: %s", second.LogTail())
	b := s.runForever(t, pod{ns: "shop", name: "contested"})
	s.exec(t, b, "cat", awsPath)
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
}
