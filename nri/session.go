package nri

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

// dialTimeout bounds a connect: it blocks while the runtime's backlog is full.
const dialTimeout = 5 * time.Second

// CheckSocket says whether there is a socket, without connecting: the runtime
// logs a plugin that comes and goes as an error. The error says what to do.
func CheckSocket(socket string) error {
	fi, err := os.Stat(socket)
	if err != nil {
		return explain(socket, err)
	}
	if fi.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("NRI socket %s: not a socket", socket)
	}
	return nil
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, explain(socket, err)
	}
	return conn, nil
}

func explain(socket string, err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("NRI socket %s: %w: is the runtime running, with NRI on (containerd before 2.0 has it off)?", socket, os.ErrNotExist)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("NRI socket %s: %w: is the runtime running?", socket, syscall.ECONNREFUSED)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("NRI socket %s: %w: run as root", socket, os.ErrPermission)
	default:
		return fmt.Errorf("NRI socket %s: %w", socket, err)
	}
}

// session is one connection from dial to its end. It returns nil when ctx ends.
func (p *Plugin) session(ctx context.Context) error {
	raw, err := dial(ctx, p.socket)
	if err != nil {
		return err
	}
	conn := &watchedConn{Conn: raw, down: make(chan struct{})}
	defer conn.Close()
	h := &handlers{p: p}
	st, err := stub.New(h,
		stub.WithPluginName(p.name),
		stub.WithPluginIdx(p.index),
		stub.WithConnection(conn),
		stub.WithLogger(stubLog{p.log}),
		// Without a callback the end of the connection is only visible in Run.
		stub.WithOnClose(func() {}),
		// A late answer need not cost the registration (NRI 0.12.5; older
		// runtimes ignore it). The request goes on without the plugin.
		stub.WithFailurePolicy(&api.FailurePolicy{KeepConnected: true}),
	)
	if err != nil {
		return fmt.Errorf("NRI stub: %w", err)
	}
	select {
	case <-p.again: // this registration is another one
	default:
	}
	if err := p.start(ctx, st, h, conn); err != nil {
		return fmt.Errorf("NRI registration at %s: %w", p.socket, err)
	}
	defer st.Stop()
	select {
	case <-conn.down:
		return fmt.Errorf("NRI connection to %s: %w", p.socket, errDropped)
	case <-p.again:
		p.quiet(ctx)
		return errAgain
	case <-ctx.Done():
		return nil
	}
}

// start registers. stub.Start (0.12.5) waits without end for the runtime's
// Configure call, even when the connection is gone or ctx is over, with its
// mutex held, which also blocks the handling of the closed connection. So when
// it doesn't come back some time after the connection's end, the call is made
// from here, to a handler that refuses it.
func (p *Plugin) start(ctx context.Context, st stub.Stub, h *handlers, conn *watchedConn) error {
	started := make(chan startResult, 1)
	go func() { started <- startResult{st.Start(ctx)} }()

	timer := time.NewTimer(p.registration)
	defer timer.Stop()
	var cause error
	select {
	case r := <-started:
		return r.err
	case <-conn.down:
		cause = errors.New("connection closed by the runtime")
	case <-timer.C:
		cause = fmt.Errorf("no answer within %v", p.registration)
	case <-ctx.Done():
		cause = ctx.Err()
	}
	h.abandoned.Store(true)
	_ = conn.Close() // the cause is what is reported
	for {
		timer.Reset(p.grace)
		select {
		case <-started: // whatever it says, the cause came first
			return cause
		case <-timer.C:
		}
		// Nothing is written before the channel that Configure answers on
		// exists, and the load orders this after that.
		service, ok := st.(api.PluginService)
		if !ok || !conn.written.Load() {
			continue
		}
		if _, err := service.Configure(ctx, &api.ConfigureRequest{NRIVersion: "abandoned"}); err == nil {
			st.Stop()
		}
	}
}

type startResult struct{ err error }

// watchedConn notices the end of a connection in the reads of its user: the
// stub's own notice can be stuck, see start.
type watchedConn struct {
	net.Conn
	down    chan struct{}
	once    sync.Once
	written atomic.Bool
}

// Read is net.Conn's.
func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.once.Do(func() { close(c.down) })
	}
	return n, err
}

// Write is net.Conn's.
func (c *watchedConn) Write(b []byte) (int, error) {
	c.written.Store(true)
	return c.Conn.Write(b)
}

// Close is net.Conn's.
func (c *watchedConn) Close() error {
	c.once.Do(func() { close(c.down) })
	return c.Conn.Close()
}
