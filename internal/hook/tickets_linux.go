package hook

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"time"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

type ticketID [wire.TicketLen]byte

// expectation is what a ticket stands for.
type expectation struct {
	id        ticketID
	secret    [wire.SecretLen]byte
	container string
	files     []File
	size      int
	until     time.Time
}

// Expect notes what a container is to get and returns the ticket for it. A
// ticket of the same container that is not used yet is withdrawn. The error says
// why there can be no hook, see the Err variables; the container has to be
// planted otherwise then.
//
// It makes no system call that waits for a disk but a stat(2) of the program.
func (s *Server) Expect(c Container, files []File) (Ticket, error) {
	if err := s.expectable(c, files); err != nil {
		return Ticket{}, fmt.Errorf("hook for container %s: %w", c.ID, err)
	}
	e := &expectation{container: c.ID, files: files, until: s.now().Add(s.lifetime)}
	for _, f := range files {
		e.size += len(f.Content)
	}
	_, _ = rand.Read(e.id[:]) // never fails since Go 1.24
	_, _ = rand.Read(e.secret[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withdraw(c.ID)
	if len(s.tickets) >= MaxTickets || s.pending+e.size > MaxPending {
		return Ticket{}, fmt.Errorf("hook for container %s: %w", c.ID, ErrFull)
	}
	s.tickets[e.id], s.containers[c.ID] = e, e.id
	s.pending += e.size
	s.status.Issued++
	return Ticket{
		Path: s.program.path,
		Args: []string{path.Base(s.program.path)},
		Env: []string{
			"HOOK_SOCKET=" + s.socket,
			"HOOK_TICKET=" + hex.EncodeToString(e.id[:]),
			"HOOK_SECRET=" + hex.EncodeToString(e.secret[:]),
			// The Go runtime's: one thread that runs, and no collector beside it.
			"GOMAXPROCS=1", "GOGC=off",
		},
	}, nil
}

func (s *Server) expectable(c Container, files []File) error {
	switch {
	case c.ID == "" || len(c.ID) > 256:
		return errors.New("no id, or one of more than 256 bytes")
	case c.UserNamespace:
		return ErrUserNamespace
	case c.MemoryLimit > 0 && c.MemoryLimit < MinMemory, c.PidsLimit > 0 && c.PidsLimit < MinPids:
		return ErrTight
	case len(files) == 0 || len(files) > MaxFiles:
		return fmt.Errorf("%d files, and not 1 to %d", len(files), MaxFiles)
	}
	for _, f := range files {
		switch {
		case f.Path == "" || len(f.Path) > wire.MaxPath:
			return fmt.Errorf("token %s: a path of %d bytes", f.Token, len(f.Path))
		case len(f.Content) > wire.MaxContent:
			return fmt.Errorf("token %s: content of %d bytes", f.Token, len(f.Content))
		case f.Mode&^fs.ModePerm != 0:
			return fmt.Errorf("token %s: mode %v is more than permissions", f.Token, f.Mode)
		}
	}
	return s.program.intact()
}

// Withdraw takes back the ticket of a container, if it has one that was not
// used. No report comes.
func (s *Server) Withdraw(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withdraw(container)
}

func (s *Server) withdraw(container string) {
	if id, ok := s.containers[container]; ok {
		s.drop(s.tickets[id])
		s.status.Withdrawn++
	}
}

func (s *Server) drop(e *expectation) {
	delete(s.tickets, e.id)
	delete(s.containers, e.container)
	s.pending -= e.size
}

// redeem finds what the hook came for. The ticket is used then. A wrong secret
// doesn't use it up: a guess must not take a container's tokens away.
func (s *Server) redeem(h wire.Hello) (*expectation, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.tickets[h.Ticket]
	switch {
	case !ok || s.now().After(e.until):
		return nil, &refusal{ReasonTicket, errors.New("unknown, used or expired ticket")}
	case subtle.ConstantTimeCompare(e.secret[:], h.Secret[:]) != 1:
		return nil, &refusal{ReasonSecret, fmt.Errorf("wrong secret for container %s", e.container)}
	// A hook that could not read its state says so, and gets nothing.
	case h.Container != e.container && h.Problem == "":
		return nil, &refusal{ReasonContainer, fmt.Errorf("container %q came with the ticket of %s", h.Container, e.container)}
	}
	s.drop(e)
	return e, nil
}

// expire drops tickets that no hook came with in time, and reports them.
func (s *Server) expire() {
	now := s.now()
	var late []*expectation
	s.mu.Lock()
	for _, e := range s.tickets {
		if now.After(e.until) {
			late = append(late, e)
			s.drop(e)
			s.status.Expired++
		}
	}
	s.mu.Unlock()
	for _, e := range late {
		r := e.report()
		r.Problem = fmt.Sprintf("no hook came within %v", s.lifetime)
		s.deliver(r)
	}
}

// report is the report without an answer.
func (e *expectation) report() Report {
	r := Report{Container: e.container, Results: make([]Result, 0, len(e.files))}
	for _, f := range e.files {
		r.Results = append(r.Results, Result{
			Token: f.Token, Path: f.Path, Outcome: Unanswered, Problem: "the hook did not come as far as this",
		})
	}
	return r
}
