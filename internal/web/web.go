// Package web answers over HTTP what operators and their tools ask an agent:
// whether it is alive, whether it is ready, its metrics, and on request profiles.
package web

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

const (
	// mostConnections is far more than the probes and scrapers of one node make.
	mostConnections = 32
	readTime        = 5 * time.Second
	idleTime        = 2 * time.Minute
	// writeTime is longer than a profile of the CPU takes as a rule (30 s).
	writeTime   = 2 * time.Minute
	endTime     = 2 * time.Second
	listenAgain = 30 * time.Second
)

// Options say what is served, and where.
type Options struct {
	// Address is HOST:PORT to listen on, over TCP.
	Address string
	// NotReady returns why the agent does not do all of its work; nothing if it
	// does. It is asked in several goroutines at once. One that doesn't return
	// leaves both probes without an answer.
	NotReady func() []string
	// Metrics answers /metrics.
	Metrics http.Handler
	// Profiles adds /debug/pprof/, which tells about the process's memory and
	// arguments and costs it processor time.
	Profiles bool
	Log      *slog.Logger
}

// Serve answers until ctx ends and returns when no request is under way any more,
// after two seconds at most. An address that can't be had, since another process
// has it, say, is told to the log and tried again every half minute: the agent's
// work doesn't depend on it.
func Serve(ctx context.Context, o Options) {
	for {
		err := serve(ctx, o)
		if ctx.Err() != nil {
			return
		}
		o.Log.Error("health and metrics can't be asked for over HTTP", slog.String("address", o.Address),
			slog.Any("error", err), slog.Duration("again_in", listenAgain))
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return
		}
	}
}

func serve(ctx context.Context, o Options) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Address)
	if err != nil {
		return err
	}
	o.Log.Info("health and metrics are served", slog.String("address", listener.Addr().String()))
	server := &http.Server{
		Handler:           o.Handler(),
		ReadHeaderTimeout: readTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: 1 << 14,
		ErrorLog:       slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug), // clients' faults
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(netutil.LimitListener(listener, mostConnections)) }()
	select {
	case err = <-ended:
		return errors.Join(err, server.Close())
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close() // a profile that takes longer is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Handler is what Serve serves, for another server of the same agent. Address and
// Log are of no use to it.
func (o Options) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		o.NotReady() // an agent that hangs is not alive
		text(w, http.StatusOK, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reasons := o.NotReady(); len(reasons) > 0 {
			text(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n")+"\n")
			return
		}
		text(w, http.StatusOK, "ok\n")
	})
	mux.Handle("GET /metrics", o.Metrics)
	if o.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		list := "/healthz\n/readyz\n/metrics\n"
		if o.Profiles {
			list += "/debug/pprof/\n"
		}
		text(w, http.StatusOK, list)
	})
	return mux
}

func text(w http.ResponseWriter, code int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, body) // nobody to tell
}
