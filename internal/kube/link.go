package kube

import (
	"errors"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/beesting-otel/beesting"
)

// State says how the agent fares with the API server.
type State string

// The states.
const (
	// StateConnecting: nothing has been heard of the pods yet.
	StateConnecting State = "connecting"
	// StateConnected: the node's pods are known and watched.
	StateConnected State = "connected"
	// StateAway: it can't be reached, or gives errors. What is known stays.
	StateAway State = "away"
	// StateForbidden: it doesn't let the agent see pods.
	StateForbidden State = "forbidden"
)

// slow is how long nothing has to be heard of the API server for nobody to wait for
// it any longer.
const slow = 2 * time.Second

// link is what is known of the connection.
type link struct {
	log *slog.Logger
	now func() time.Time
	// changed is called when a state has changed.
	changed func()

	mu     sync.Mutex
	state  State
	since  time.Time
	err    error
	synced bool
	denied map[rule]bool
}

// rule is what the agent may not do, in the words of RBAC.
type rule struct{ verbs, resource string }

func newLink(log *slog.Logger, now func() time.Time) *link {
	return &link{log: log, now: now, changed: func() {}, state: StateConnecting, since: now(), denied: map[rule]bool{}}
}

// heard is called when the API server has answered what pods there are.
func (l *link) heard() {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.denied, podRule())
	if l.synced {
		l.become(StateConnected, nil)
	}
}

// complete is called when the pods are known.
func (l *link) complete() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.synced = true
	l.become(StateConnected, nil)
}

// broke is called when pods could not be asked for.
func (l *link) broke(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	state := StateAway
	if reasonOf(err) == beesting.UnresolvedForbidden {
		state = StateForbidden
		l.denied[podRule()] = true
	}
	l.become(state, plain(err))
}

// plain leaves out what was asked for, which is long and always the same.
func plain(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// become changes the state, and says so once; l.mu is held.
func (l *link) become(s State, err error) {
	l.err = err
	if l.state == s {
		return
	}
	l.state, l.since = s, l.now()
	l.changed()
	switch s {
	case StateConnected:
		l.log.Info("connected to the API server: pods and their owners are known")
	case StateForbidden:
		l.log.Warn("the API server refuses to say what pods there are: accesses are told without workloads",
			slog.String("missing", podRule().String()), slog.Any("error", err))
	default:
		l.log.Warn("the API server is away: accesses are told without the workloads that it hasn't told of before", slog.Any("error", err))
	}
}

// deny notes whether something is forbidden, and says so once.
func (l *link) deny(r rule, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reasonOf(err) != beesting.UnresolvedForbidden {
		if err == nil {
			delete(l.denied, r)
		}
		return
	}
	if !l.denied[r] {
		l.log.Warn("the API server refuses a look-up", slog.String("missing", r.String()), slog.Any("error", err))
	}
	l.denied[r] = true
}

// absent says of a pod that isn't known why, and whether it may come soon.
func (l *link) absent() (why beesting.Unresolved, soon bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state == StateConnected:
		return beesting.UnresolvedAbsent, true
	case l.state == StateForbidden:
		return beesting.UnresolvedForbidden, false
	case l.state == StateConnecting && l.now().Sub(l.since) < slow:
		return beesting.UnresolvedLate, true
	default:
		return beesting.UnresolvedAway, false
	}
}

// up reports whether the API server can be asked.
func (l *link) up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state == StateConnected
}

// missing are the rules that the agent lacks.
func (l *link) missing() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []string
	for r := range maps.Keys(l.denied) {
		out = append(out, r.String())
	}
	slices.Sort(out)
	return out
}

// String is the rule as a person would say it.
func (r rule) String() string { return r.verbs + " " + r.resource }

// podRule is what the watch needs.
func podRule() rule { return rule{"get,list,watch", "pods"} }

// reasonOf says why the API server gave no answer; empty if it did.
func reasonOf(err error) beesting.Unresolved {
	switch {
	case err == nil:
		return ""
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		return beesting.UnresolvedForbidden
	case apierrors.IsNotFound(err), errors.Is(err, errAnother):
		return beesting.UnresolvedAbsent
	default: // a time-out of the agent's own, too: it is slow, if not away
		return beesting.UnresolvedAway
	}
}

var errAnother = errors.New("another one has the name by now")
