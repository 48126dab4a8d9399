package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/beesting-otel/beesting/internal/state"
)

// Socket is a listening control socket. Nobody is answered before Serve.
type Socket struct {
	path     string
	listener *net.UnixListener
	lock     *os.File
	close    sync.Once
}

// Listen makes the socket, and its directory with mode 0700 if that is missing.
// A socket that a killed agent left behind is replaced. While another agent
// listens the error is ErrInUse.
//
// Close it, or Serve until the context ends.
func Listen(path string) (*Socket, error) {
	s, err := listen(path)
	if err != nil {
		return nil, fmt.Errorf("control socket %s: %w", path, err)
	}
	return s, nil
}

// ErrInUse says that another agent listens on the socket.
var ErrInUse = errors.New("another agent is running")

func listen(path string) (*Socket, error) {
	if err := directory(filepath.Dir(path)); err != nil {
		return nil, err
	}
	// The lock goes with the process, however it ends. It stays as a file:
	// removing it would let two agents hold locks on different files.
	lock, err := state.LockFile(path + ".lock")
	if errors.Is(err, state.ErrLocked) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, err
	}
	l, err := bind(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &Socket{path: path, listener: l, lock: lock}, nil
}

// directory makes the socket's directory, or refuses one where others could
// put their own socket in place of ours.
func directory(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if st.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("directory %s: others can write to it (mode %04o)", dir, st.Mode().Perm())
	}
	return nil
}

func bind(path string) (*net.UnixListener, error) {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case st.Mode().Type() != fs.ModeSocket:
		return nil, errors.New("exists and is not a socket")
	default:
		// Under the lock nobody listens on it any more.
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Close stops listening and removes the socket. It is idempotent.
func (s *Socket) Close() error {
	var err error
	s.close.Do(func() {
		err = s.listener.Close()
		if errors.Is(err, net.ErrClosed) {
			err = nil // Serve has closed it
		}
		err = errors.Join(err, s.lock.Close())
	})
	return err
}

// Answers are what a socket serves. Each is called once for a request, from
// several goroutines; what it returns is sent as JSON. All but Status are not served
// if nil.
type Answers struct {
	Status func() any             // GET StatusPath
	Reload func() any             // POST ReloadPath
	Trace  func(ids []string) any // POST TracePath
	// DeadLetters answers GET and, with resend, POST of DeadLettersPath.
	DeadLetters func(resend bool) any
	Web         http.Handler // every path outside of /v1
}

// Serve answers until the context ends, and then returns nil after the answers
// under way, for which it waits a moment. Peers with a user id other than uid are
// refused.
func (s *Socket) Serve(ctx context.Context, uid uint32, a Answers, log *slog.Logger) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+StatusPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.Status()) })
	if a.Trace != nil {
		mux.HandleFunc("POST "+TracePath, a.trace)
	}
	if a.Reload != nil {
		mux.HandleFunc("POST "+ReloadPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.Reload()) })
	}
	if a.DeadLetters != nil {
		mux.HandleFunc("GET "+DeadLettersPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.DeadLetters(false)) })
		mux.HandleFunc("POST "+DeadLettersPath, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, a.DeadLetters(true)) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if a.Web != nil && !strings.HasPrefix(r.URL.Path, "/v1/") {
			a.Web.ServeHTTP(w, r)
			return
		}
		answer(w, http.StatusNotFound, refusal{fmt.Sprintf("%s %s is not served", r.Method, r.URL.Path)})
	})
	server := &http.Server{
		Handler:           onlyUID(uid, mux, log),
		ConnContext:       withPeer,
		ReadHeaderTimeout: timeout,
		ReadTimeout:       timeout,
		WriteTimeout:      timeout,
		IdleTimeout:       timeout,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		stopped <- errors.Join(server.Shutdown(last), server.Close())
	})
	err := server.Serve(s.listener)
	if !stop() {
		err = <-stopped
	}
	return errors.Join(err, s.Close())
}

func (a Answers) trace(w http.ResponseWriter, r *http.Request) {
	var request TraceRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest)).Decode(&request); err != nil {
		answer(w, http.StatusBadRequest, refusal{fmt.Sprintf("request: %v", err)})
		return
	}
	answer(w, http.StatusOK, a.Trace(request.IDs))
}

func answer(w http.ResponseWriter, code int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(data, '\n')) // a client that has gone needs no answer
}

// peerKey is where withPeer keeps what it found out: a uint32 or an error.
type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	uid, err := peerUID(c)
	if err != nil {
		return context.WithValue(ctx, peerKey{}, err)
	}
	return context.WithValue(ctx, peerKey{}, uid)
}

func onlyUID(want uint32, next http.Handler, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch peer := r.Context().Value(peerKey{}).(type) {
		case uint32:
			if peer == want {
				next.ServeHTTP(w, r)
				return
			}
			log.Warn("control socket: peer refused", "uid", peer)
			answer(w, http.StatusForbidden, refusal{fmt.Sprintf("uid %d may not ask", peer)})
		case error:
			log.Warn("control socket: peer unknown", "error", peer)
			answer(w, http.StatusForbidden, refusal{"the peer's credentials are not known"})
		default:
			answer(w, http.StatusForbidden, refusal{"not a unix socket"})
		}
	})
}
