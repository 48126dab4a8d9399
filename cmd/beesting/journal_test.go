package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/control"
	"github.com/beesting-otel/beesting/internal/journal"
)

func recorded(n int) beesting.Access {
	a := beesting.Access{
		Kind: beesting.AccessOpen, Outcome: beesting.OutcomeAllowed, Time: time.Unix(1790000000, 0), ObservedTime: time.Unix(1790000000, 0),
		Count: 1, Actor: beesting.ActorWorkload, Process: beesting.Process{PID: uint32(100 + n), Comm: "cat", Executable: "/bin/cat"},
		Placement: beesting.Placement{
			ID: 1, TokenID: "abc", Token: beesting.Token{Name: "aws", Kind: "aws-credentials", Path: "/root/.aws/credentials"},
			Container: &beesting.Container{ID: "c1", Name: "web", Pod: beesting.Pod{Name: "web-1", Namespace: "shop"}},
		},
	}
	a.ID[15] = byte(n + 1)
	return a
}

func testJournal(t *testing.T, stateDir string) *journal.Journal {
	t.Helper()
	c := config.Default()
	c.StateDir = stateDir
	j, err := openJournal(c, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// What is in a journal is shown beside the agent that has it, as text and as JSON,
// each access once.
func TestAccesses(t *testing.T) {
	dir := t.TempDir()
	j := testJournal(t, dir)
	for n := range 3 {
		a := recorded(n)
		a.Ongoing = n == 0
		if err := j.Append(journal.Entry{Access: &a}); err != nil {
			t.Fatal(err)
		}
	}
	end := recorded(0)
	if err := j.Append(journal.Entry{Access: &end, Ended: true}); err != nil {
		t.Fatal(err)
	}
	show := func(args ...string) string {
		var out, errs bytes.Buffer
		a := app{stdout: &out, stderr: &errs, lookupEnv: func(string) (string, bool) { return "", false }}
		if code := a.run(t.Context(), append([]string{"accesses", "--state-dir", dir}, args...)); code != 0 {
			t.Errorf("%v: exit code %d: %s", args, code, errs.String())
		}
		return out.String()
	}
	if out := show(); strings.Count(out, "/root/.aws/credentials") != 3 || !strings.Contains(out, "shop/web-1") {
		t.Errorf("text:\n%s", out)
	}
	lines := strings.Split(strings.TrimSpace(show("--json")), "\n")
	for _, line := range lines {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
	if len(lines) != 3 || !strings.Contains(lines[2], `"process.pid":102`) {
		t.Errorf("%d lines: %s", len(lines), lines[len(lines)-1])
	}
	if out := show("--since", "2100-01-01T00:00:00Z"); out != "" {
		t.Errorf("since later: %s", out)
	}
	if out := show("--since", "1h"); strings.Count(out, "\n") == 0 {
		t.Error("nothing within the hour")
	}
}

// Whoever asks a running agent gets its dead letters, and can have them sent again.
func TestDeadLetters(t *testing.T) {
	j := testJournal(t, t.TempDir())
	c, err := j.Cursor("logs", journal.Whole)
	if err != nil {
		t.Fatal(err)
	}
	a := recorded(0)
	if err := j.Append(journal.Entry{Access: &a}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Next(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	c.SetAside(1, "grpc_InvalidArgument")
	path := filepath.Join(t.TempDir(), "control.sock")
	socket, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	n := node{journal: j}
	go func() {
		answers := control.Answers{Status: func() any { return nil }, DeadLetters: n.deadLetters}
		served <- socket.Serve(ctx, uint32(os.Getuid()), answers, slog.New(slog.DiscardHandler))
	}()
	defer func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	}()
	ask := func(args ...string) string {
		var out bytes.Buffer
		a := app{stdout: &out, stderr: io.Discard, lookupEnv: func(string) (string, bool) { return "", false }}
		if code := a.run(t.Context(), append([]string{"dead-letters", "--socket", path}, args...)); code != 0 {
			t.Errorf("%v: exit code %d", args, code)
		}
		return out.String()
	}
	if out := ask(); !strings.Contains(out, "grpc_InvalidArgument") || !strings.Contains(out, "shop/web-1") {
		t.Errorf("list:\n%s", out)
	}
	if out := ask("--json"); !strings.Contains(out, `"signal": "logs"`) || !strings.Contains(out, `"access_id": "00000000000000000000000000000001"`) {
		t.Errorf("JSON:\n%s", out)
	}
	if text := journalText(j.Stats()); !strings.Contains(text, "1 set aside") {
		t.Errorf("status: %s", text)
	}
	if out := ask("--resend"); out != "1 are sent once more\n" {
		t.Errorf("resend: %s", out)
	}
	if out := ask(); out != "none: the back end has refused nothing for good\n" || c.Pending() != 1 {
		t.Errorf("afterwards %d to send: %s", c.Pending(), out)
	}
	none := node{}
	if answer, ok := none.deadLetters(false).(deadLettersAnswer); !ok || !strings.Contains(answer.Error, "no journal") {
		t.Errorf("without a journal: %+v", answer)
	}
}
