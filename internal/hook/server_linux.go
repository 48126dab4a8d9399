package hook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Server is what the hooks of a node talk to.
type Server struct {
	program  *Program
	deliver  func(Report)
	lifetime time.Duration
	log      *slog.Logger
	now      func() time.Time
	proc     string
	socket   string
	listener *net.UnixListener
	// How long a peer may take for its first words, and for all of them.
	helloTimeout, talkTimeout time.Duration

	mu          sync.Mutex
	tickets     map[ticketID]*expectation
	containers  map[string]ticketID
	pending     int // bytes of content
	status      Status
	lastRefusal time.Time
	unlogged    int // refusals since then
}

// Listen makes the socket. A socket that a killed agent left behind is
// replaced, so the caller makes sure that there is one agent. Hooks are answered
// once Serve runs; tickets can be had before.
//
// Close it, or Serve until the context ends.
func Listen(o Options) (*Server, error) {
	if o.Program == nil || o.Deliver == nil {
		return nil, errors.New("hook socket: no program, or nobody to deliver to")
	}
	s := &Server{
		program: o.Program, deliver: o.Deliver, log: o.Log, now: o.Now, socket: o.Socket,
		lifetime: cmp.Or(o.Lifetime, 10*time.Minute), proc: cmp.Or(o.Proc, "/proc"),
		tickets: map[ticketID]*expectation{}, containers: map[string]ticketID{},
		helloTimeout: helloTimeout, talkTimeout: talkTimeout,
		status: Status{Refused: map[Reason]uint64{}},
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	var err error
	if s.listener, err = bind(o.Socket); err != nil {
		return nil, fmt.Errorf("hook socket %s: %w", o.Socket, err)
	}
	return s, nil
}

func bind(path string) (*net.UnixListener, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path is not absolute")
	}
	// sockaddr_un has 108 bytes, one of them the terminating NUL (unix(7)).
	if len(path) > 107 {
		return nil, errors.New("the path is longer than 107 bytes")
	}
	if err := socketDirectory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case st.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("exists and is not a socket")
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: path, Net: "unixpacket"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// socketDirectory makes the directory, as the program wants it.
func socketDirectory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || int(sys.Uid) != os.Geteuid() || !st.IsDir() || st.Mode().Perm() != 0o700 {
		return fmt.Errorf("directory %s: hooks trust one of mode 0700 only, that belongs to uid %d", dir, os.Geteuid())
	}
	return nil
}

// Close stops listening and removes the socket. It is idempotent.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Serve answers hooks until the context ends, and returns when the last
// conversation is over. The reports of tickets that are left then don't come.
func (s *Server) Serve(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { s.expireUntil(ctx) })
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	slots := make(chan struct{}, maxTalks)
	err := s.accept(ctx, slots, &running)
	running.Wait()
	return errors.Join(err, s.Close())
}

func (s *Server) accept(ctx context.Context, slots chan struct{}, running *sync.WaitGroup) error {
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			running.Go(func() {
				defer func() { <-slots }()
				s.talk(ctx, conn)
			})
		case ctx.Err() != nil:
			return nil //nolint:nilerr // it was closed for that
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("hook socket %s: %w", s.socket, err)
		default:
			<-slots
			// Out of descriptors, as a rule: it passes.
			s.refuse(&refusal{ReasonAccept, err})
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (s *Server) expireUntil(ctx context.Context) {
	tick := time.NewTicker(max(s.lifetime/20, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.expire()
		case <-ctx.Done():
			return
		}
	}
}

// Status returns how the server fares.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.status
	st.Pending = len(s.tickets)
	st.Refused = maps.Clone(st.Refused)
	return st
}

// refusal says why there was no conversation.
type refusal struct {
	reason Reason
	err    error
}

func (r *refusal) Error() string { return string(r.reason) + ": " + r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// logPause is the least time between two lines on refusals: whoever connects in
// a loop doesn't fill the log.
const logPause = 10 * time.Second

func (s *Server) refuse(r *refusal) {
	s.mu.Lock()
	s.status.Refused[r.reason]++
	now, more := s.now(), s.unlogged
	quiet := now.Sub(s.lastRefusal) < logPause
	if quiet {
		s.unlogged++
	} else {
		s.lastRefusal, s.unlogged = now, 0
	}
	s.mu.Unlock()
	if !quiet {
		s.log.Warn("hook socket: peer refused", slog.String("reason", string(r.reason)),
			slog.Any("error", r.err), slog.Int("refused_before_unlogged", more))
	}
}
