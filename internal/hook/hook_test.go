//go:build linux

package hook

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "hook")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// node is a server with what it delivers.
type node struct {
	*Server
	t       *testing.T
	reports chan Report
	clock   atomic.Int64 // nanoseconds that the server's clock is ahead
	log     *syncBuffer
}

type syncBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// self is this test as the program: its own goroutines are let in as hooks then.
func self(t *testing.T) *Program {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := openProgram(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// patient is for tests of what is said, on machines that are slow to say it.
func patient(s *Server) { s.talkTimeout = time.Minute }

func serve(t *testing.T, p *Program, change ...func(*Server)) *node {
	t.Helper()
	n := &node{t: t, reports: make(chan Report, 100), log: &syncBuffer{}}
	s, err := Listen(Options{
		Socket: filepath.Join(shortDir(t), "run", "s"), Program: p, Lifetime: time.Minute,
		Deliver: func(r Report) { n.reports <- r },
		Log:     slog.New(slog.NewTextHandler(n.log, nil)),
		Now:     func() time.Time { return time.Now().Add(time.Duration(n.clock.Load())) },
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Server = s
	for _, f := range change {
		f(s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return n
}

func (n *node) expect(id string, files ...File) Ticket {
	n.t.Helper()
	ticket, err := n.Expect(Container{ID: id}, files)
	if err != nil {
		n.t.Fatal(err)
	}
	return ticket
}

func (n *node) report() Report {
	n.t.Helper()
	select {
	case r := <-n.reports:
		n.t.Cleanup(r.Close)
		return r
	case <-time.After(20 * time.Second):
		n.t.Fatal("no report")
		return Report{}
	}
}

// refused waits until the server has refused a peer for the reason.
func (n *node) refused(reason Reason) {
	n.t.Helper()
	for range 1000 {
		if n.Status().Refused[reason] == 1 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	n.t.Errorf("refused: %v, want %s", n.Status().Refused, reason)
}

func credentials() File {
	return File{Token: "aws", Path: "/root/.aws/credentials", Mode: 0o600, ModTime: time.Unix(1, 0), Content: []byte("secret")}
}

// hookPeer stands in for the hook program, to say what that never would.
type hookPeer struct {
	t    *testing.T
	conn *net.UnixConn
}

func (n *node) dial() *hookPeer {
	n.t.Helper()
	conn, err := net.DialUnix("unixpacket", nil, &net.UnixAddr{Name: n.socket, Net: "unixpacket"})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &hookPeer{n.t, conn}
}

func hello(t *testing.T, ticket Ticket) wire.Hello {
	t.Helper()
	h := wire.Hello{Container: "c1"}
	for _, e := range ticket.Env {
		if v, ok := strings.CutPrefix(e, "HOOK_TICKET="); ok {
			_, _ = hex.Decode(h.Ticket[:], []byte(v))
		}
		if v, ok := strings.CutPrefix(e, "HOOK_SECRET="); ok {
			_, _ = hex.Decode(h.Secret[:], []byte(v))
		}
	}
	return h
}

func (p *hookPeer) send(packet []byte, files ...*os.File) {
	p.t.Helper()
	var oob []byte
	if len(files) > 0 {
		var fds []int
		for _, f := range files {
			fds = append(fds, int(f.Fd()))
		}
		oob = unix.UnixRights(fds...)
	}
	if _, _, err := p.conn.WriteMsgUnix(packet, oob, nil); err != nil {
		p.t.Error(err)
	}
}

func (p *hookPeer) receive() []byte {
	p.t.Helper()
	b := make([]byte, wire.MaxPacket)
	n, err := p.conn.Read(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return b[:n]
}

// closed expects that the server ends the conversation without a word.
func (p *hookPeer) closed() {
	p.t.Helper()
	if n, err := p.conn.Read(make([]byte, 10)); !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
		p.t.Errorf("got %d bytes, %v", n, err)
	}
}

// file receives a file with its content.
func (p *hookPeer) file() (wire.File, []byte) {
	p.t.Helper()
	f, err := wire.DecodeNext(p.receive())
	if err != nil || f == nil {
		p.t.Fatalf("file: %v, %v", f, err)
	}
	var content []byte
	for len(content) < int(f.Size) {
		part, err := wire.DecodeChunk(p.receive())
		if err != nil {
			p.t.Fatal(err)
		}
		content = append(content, part...)
	}
	return *f, content
}

func temp(t *testing.T, content string) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func placed(i uint16) []byte {
	return (&wire.Result{Index: i, Outcome: wire.Placed}).AppendTo(nil)
}

func TestConversation(t *testing.T) {
	n := serve(t, self(t), patient)
	large := File{Token: "large", Path: "/large", Mode: 0o444, UID: 7, GID: 8, Content: []byte(strings.Repeat("x", wire.MaxContent))}
	ticket := n.expect("c1", credentials(), large)
	p := n.dial()
	h := hello(t, ticket)
	p.send(h.AppendTo(nil))
	f, content := p.file()
	if f.Path != "/root/.aws/credentials" || f.Mode != 0o600 || f.Seconds != 1 || string(content) != "secret" {
		t.Errorf("file %+v, %q", f, content)
	}
	mine := temp(t, "secret")
	p.send(placed(0), mine)
	f, content = p.file()
	if f.Index != 1 || f.UID != 7 || f.GID != 8 || len(content) != wire.MaxContent {
		t.Errorf("file %+v, %d bytes", f, len(content))
	}
	p.send((&wire.Result{Index: 1, Outcome: wire.OtherMount, Problem: "directory /large: crossed"}).AppendTo(nil))
	if next, err := wire.DecodeNext(p.receive()); next != nil || err != nil {
		t.Errorf("end: %v, %v", next, err)
	}
	// The end comes after the report.
	if len(n.reports) != 1 {
		t.Fatal("the hook was let go before the report was delivered")
	}
	r := n.report()
	if r.Container != "c1" || r.Problem != "" || len(r.Results) != 2 {
		t.Fatalf("report %+v", r)
	}
	if got := r.Results[0]; got.Token != "aws" || got.Outcome != Placed || got.Problem != "" || got.File == nil || !sameFile(t, got.File, mine) {
		t.Errorf("result %+v", got)
	}
	if got := r.Results[1]; got.Outcome != OtherMount || got.Problem == "" || got.File != nil {
		t.Errorf("result %+v", got)
	}
	// One time.
	again := n.dial()
	again.send(h.AppendTo(nil))
	again.closed()
	n.refused(ReasonTicket)
	if s := n.Status(); s.Issued != 1 || s.Answered != 1 || s.Pending != 0 || n.pending != 0 {
		t.Errorf("status %+v", s)
	}
}

func sameFile(t *testing.T, a, b *os.File) bool {
	t.Helper()
	x, err := a.Stat()
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return os.SameFile(x, y)
}

func TestRefusals(t *testing.T) {
	for reason, act := range map[Reason]func(*hookPeer, wire.Hello){
		ReasonTicket:    func(p *hookPeer, h wire.Hello) { h.Ticket[0]++; p.send(h.AppendTo(nil)) },
		ReasonSecret:    func(p *hookPeer, h wire.Hello) { h.Secret[31]++; p.send(h.AppendTo(nil)) },
		ReasonContainer: func(p *hookPeer, h wire.Hello) { h.Container = "c2"; p.send(h.AppendTo(nil)) },
		ReasonProtocol:  func(p *hookPeer, _ wire.Hello) { p.send([]byte("GET / HTTP/1.1")) },
	} {
		t.Run(string(reason), func(t *testing.T) {
			n := serve(t, self(t))
			ticket := n.expect("c1", credentials())
			p := n.dial()
			act(p, hello(t, ticket))
			p.closed()
			n.refused(reason)
			if !strings.Contains(n.log.String(), "reason="+string(reason)) {
				t.Errorf("log: %q", n.log)
			}
			// None of them costs the container its tokens.
			h := hello(t, ticket)
			right := n.dial()
			right.send(h.AppendTo(nil))
			if f, _ := right.file(); f.Path != credentials().Path {
				t.Errorf("file %+v", f)
			}
		})
	}
}

// Who says nothing, more than is allowed, or a descriptor at first.
func TestStrangePeers(t *testing.T) {
	n := serve(t, self(t))
	ticket := n.expect("c1", credentials())
	began := time.Now()
	silent := n.dial()
	silent.closed()
	if took := time.Since(began); took < helloTimeout || took > 10*helloTimeout {
		t.Errorf("a silent peer was kept for %v", took)
	}
	long := n.dial()
	long.send(make([]byte, wire.MaxPacket+1))
	long.closed()
	h := hello(t, ticket)
	early := n.dial()
	early.send(h.AppendTo(nil), temp(t, "a"), temp(t, "b"))
	early.closed()
	early = n.dial()
	early.send(h.AppendTo(nil), temp(t, "a"))
	early.closed()
	if s := n.Status(); s.Refused[ReasonProtocol] != 4 || s.Pending != 1 {
		t.Errorf("status %+v", s)
	}
	if lines := strings.Count(n.log.String(), "\n"); lines != 1 {
		t.Errorf("%d lines in the log, want 1: %s", lines, n.log)
	}
}

// Answers that are no answer: the report says so and has no file of them.
func TestBadAnswers(t *testing.T) {
	pipe := func(t *testing.T) *os.File {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _, _ = r.Close(), w.Close() })
		return r
	}
	for name, act := range map[string]func(*testing.T, *hookPeer){
		"no descriptor":   func(_ *testing.T, p *hookPeer) { p.send(placed(0)) },
		"two descriptors": func(t *testing.T, p *hookPeer) { p.send(placed(0), temp(t, "secret"), temp(t, "secret")) },
		"ten descriptors": func(t *testing.T, p *hookPeer) {
			var all []*os.File
			for range 10 {
				all = append(all, temp(t, "secret"))
			}
			p.send(placed(0), all...)
		},
		"a pipe":       func(t *testing.T, p *hookPeer) { p.send(placed(0), pipe(t)) },
		"another size": func(t *testing.T, p *hookPeer) { p.send(placed(0), temp(t, "larger than that")) },
		"writable": func(t *testing.T, p *hookPeer) {
			f, err := os.OpenFile(temp(t, "secret").Name(), os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			p.send(placed(0), f)
			_ = f.Close()
		},
		"another index": func(t *testing.T, p *hookPeer) { p.send(placed(1), temp(t, "secret")) },
		"failed with a descriptor": func(t *testing.T, p *hookPeer) {
			p.send((&wire.Result{Outcome: wire.Failed, Problem: "x"}).AppendTo(nil), temp(t, "secret"))
		},
		"nonsense": func(_ *testing.T, p *hookPeer) { p.send([]byte("R")) },
		"hangs up": func(_ *testing.T, p *hookPeer) { _ = p.conn.Close() },
		"silence":  func(*testing.T, *hookPeer) {},
	} {
		t.Run(name, func(t *testing.T) {
			n := serve(t, self(t))
			h := hello(t, n.expect("c1", credentials(), credentials()))
			p := n.dial()
			p.send(h.AppendTo(nil))
			p.file()
			act(t, p)
			r := n.report()
			if r.Problem == "" || r.Results[0].File != nil || r.Results[0].Outcome != Unanswered || r.Results[1].Outcome != Unanswered {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func TestOtherProgramIsRefused(t *testing.T) {
	program, err := Unpack(shortDir(t), "init")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	n := serve(t, program) // and this test's process is another one
	n.dial().closed()
	n.refused(ReasonProgram)
}

func TestExpiry(t *testing.T) {
	n := serve(t, self(t))
	h := hello(t, n.expect("c1", credentials()))
	n.clock.Store(int64(2 * time.Minute))
	p := n.dial()
	p.send(h.AppendTo(nil))
	p.closed()
	n.refused(ReasonTicket)
	n.expire()
	r := n.report()
	if r.Container != "c1" || !strings.Contains(r.Problem, "no hook came") || r.Results[0].Outcome != Unanswered {
		t.Errorf("report %+v", r)
	}
	if s := n.Status(); s.Expired != 1 || s.Pending != 0 || n.pending != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestWithdraw(t *testing.T) {
	n := serve(t, self(t))
	first := hello(t, n.expect("c1", credentials()))
	n.expect("c1", credentials())
	n.Withdraw("c1")
	n.Withdraw("c1")
	n.Withdraw("unknown")
	p := n.dial()
	p.send(first.AppendTo(nil))
	p.closed()
	n.refused(ReasonTicket)
	if s := n.Status(); s.Withdrawn != 2 || s.Pending != 0 || n.pending != 0 || len(n.reports) != 0 {
		t.Errorf("status %+v", s)
	}
}

func TestExpectRefuses(t *testing.T) {
	n := serve(t, self(t))
	one := []File{credentials()}
	for name, c := range map[string]struct {
		container Container
		files     []File
		want      error
	}{
		"user namespace": {Container{ID: "c", UserNamespace: true}, one, ErrUserNamespace},
		"memory":         {Container{ID: "c", MemoryLimit: MinMemory - 1}, one, ErrTight},
		"pids":           {Container{ID: "c", PidsLimit: MinPids - 1}, one, ErrTight},
		"no id":          {Container{}, one, nil},
		"no file":        {Container{ID: "c"}, nil, nil},
		"many files":     {Container{ID: "c"}, make([]File, MaxFiles+1), nil},
		"no path":        {Container{ID: "c"}, []File{{}}, nil},
		"large":          {Container{ID: "c"}, []File{{Path: "/a", Content: make([]byte, wire.MaxContent+1)}}, nil},
		"set-uid":        {Container{ID: "c"}, []File{{Path: "/a", Mode: os.ModeSetuid | 0o755}}, nil},
	} {
		_, err := n.Expect(c.container, c.files)
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range MaxTickets {
		n.expect("c"+hex.EncodeToString([]byte{byte(i), byte(i >> 8)}), credentials())
	}
	if _, err := n.Expect(Container{ID: "more"}, one); !errors.Is(err, ErrFull) {
		t.Errorf("more: %v", err)
	}
}

// The real program, in a working directory that is no container's root: it says
// so, and makes nothing. `make test-vm` runs it in a mount namespace, where it
// does.
func TestProgramOutsideOfAContainer(t *testing.T) {
	program, err := Unpack(shortDir(t), "init")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	n := serve(t, program)
	dir := t.TempDir()
	out := runHook(t, n.expect("c1", credentials()), dir, `{"ociVersion":"1.0","id":"c1","pid":1}`)
	if out != "" {
		t.Errorf("standard error: %q", out)
	}
	r := n.report()
	if !strings.Contains(r.Problem, "not the root of a mount") || r.Results[0].Outcome != Unanswered {
		t.Errorf("report %+v", r)
	}
	if entries, err := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("made %v, %v", entries, err)
	}
}

// runHook runs the program as a runtime does, and fails the test where that
// would fail the container.
func runHook(t *testing.T, ticket Ticket, dir, state string) (stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, ticket.Path)
	cmd.Args, cmd.Env, cmd.Dir, cmd.Stdin = ticket.Args, ticket.Env, dir, strings.NewReader(state)
	var text strings.Builder
	cmd.Stderr = &text
	if err := cmd.Run(); err != nil {
		t.Errorf("the hook fails the container: %v: %s", err, text.String())
	}
	return text.String()
}

// An agent that is stuck: the hook gives up, and the container starts.
func TestSilentAgent(t *testing.T) {
	program, err := Unpack(shortDir(t), "init")
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	s, err := Listen(Options{Socket: filepath.Join(shortDir(t), "run", "s"), Program: program, Deliver: func(Report) {}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // nobody serves
	ticket, err := s.Expect(Container{ID: "c1"}, []File{credentials()})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out := runHook(t, ticket, t.TempDir(), `{"id":"c1"}`)
	if took := time.Since(began); took < 900*time.Millisecond || !strings.Contains(out, "gave up after 1s") {
		t.Errorf("%v: %q", took, out)
	}
	// No agent at all: at once.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if out := runHook(t, ticket, t.TempDir(), `{"id":"c1"}`); !strings.Contains(out, "agent's socket: no such file") {
		t.Errorf("no agent: %q", out)
	}
}
