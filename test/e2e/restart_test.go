//go:build e2e

package e2e

import (
	"context"
	"io/fs"
	"path/filepath"
	"testing"
)

// agentRestart: an upgraded agent finds the containers of the one before it and
// watches them again, under the same token ids.
func (s *suite) agentRestart(t *testing.T) {
	b := s.runForever(t, pod{ns: "shop", name: "survivor"})
	s.exec(t, b, "cat", awsPath)
	before := s.expect(t, 1, b.owns)[0].Text("honeytoken.id")

	s.stopAgent(t)
	gone := s.runForever(t, pod{ns: "shop", name: "missed"})
	s.startAgent(t)

	s.exec(t, b, "cat", awsPath)
	after := s.expect(t, 1, b.owns)
	s.complete(t, after[0], b, "aws", awsPath, cat(awsPath))
	if id := after[0].Text("honeytoken.id"); id != before {
		t.Errorf("honeytoken.id is %s after the restart, was %s", id, before)
	}
	// A container of the time without an agent has no token; nothing can be
	// mounted into it later.
	s.absent(t, gone, awsPath)
	s.lacking(t, s.agent, gone, 0, "")
	next := s.runForever(t, pod{ns: "shop", name: "next"})
	s.exec(t, next, "cat", dbPath)
	s.expect(t, 1, next.owns)
}

// agentKilled: as after a crash or the OOM killer. What went away meanwhile
// leaves no files behind.
func (s *suite) agentKilled(t *testing.T) {
	b := s.runForever(t, pod{ns: "bank", name: "witness"})
	files := s.stateFiles(t)
	leaver := s.runForever(t, pod{ns: "bank", name: "leaver"})
	if n := s.stateFiles(t); n <= files {
		t.Errorf("%d files in the state directory with another container, %d without", n, files)
	}
	s.nothingUnclaimed(t)
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	s.remove(t, leaver)
	s.startAgent(t)
	s.exec(t, b, "cat", awsPath)
	got := s.expect(t, 1, b.owns)
	s.complete(t, got[0], b, "aws", awsPath, cat(awsPath))
	eventually(t, "the files of the pod that went away to be removed", func() bool {
		return s.stateFiles(t) == files
	})
}

// stateFiles counts the files in the agent's state directory.
func (s *suite) stateFiles(t *testing.T) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(filepath.Join(s.config.Dir, "state"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// containerdRestart: the plugin comes back by itself, old containers stay
// watched, new ones get tokens.
func (s *suite) containerdRestart(t *testing.T) {
	old := s.runForever(t, pod{ns: "shop", name: "old"})
	done := timed(t, "containerd's restart")
	if err := s.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
	done = timed(t, "reconnection")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.agent.WaitConnected(ctx); err != nil {
		t.Fatalf("%v\n%s", err, s.agent.LogTail())
	}
	done()
	for _, b := range []*box{old, s.runForever(t, pod{ns: "shop", name: "new"})} {
		s.exec(t, b, "cat", dbPath)
		got := s.expect(t, 1, b.owns)
		s.complete(t, got[0], b, "db", dbPath, cat(dbPath))
	}
}
