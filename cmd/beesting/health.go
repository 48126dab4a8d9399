package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/beesting-otel/beesting/internal/agent"
)

// health is the answer to `beesting status --check`.
type health struct {
	Healthy bool     `json:"healthy"`
	Reasons []string `json:"reasons"`
}

// health says what is wrong for good or until somebody does something. lacking is
// for how long a container may lack tokens; 0 is for ever, as some can't have any:
// those below a volume, say.
func (s nodeStatus) health(now time.Time, lacking time.Duration) health {
	var reasons []string
	add := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	switch n := s.NRI; {
	case !n.Connected && n.LastError != "":
		add("not registered with the container runtime: %s", n.LastError)
	case !n.Connected:
		add("not registered with the container runtime at %s", n.Socket)
	case !s.Ready:
		add("not ready: looking at the containers that ran before")
	}
	if lacking > 0 {
		late := slices.DeleteFunc(slices.Clone(s.Unplanted), func(u agent.UnplantedStatus) bool { return now.Sub(u.Since) <= lacking })
		if len(late) > 0 {
			u := late[0]
			add("%d containers lack tokens for longer than %v, among them %s/%s %s: %s", len(late), lacking, u.Namespace, u.Pod, u.ContainerName, u.Why)
		}
	}
	if r := s.Records; r.Error != "" {
		add("records are not written: %s; %d containers wait", r.Error, r.Pending)
	}
	if j := s.Journal; j != nil && j.Error != "" {
		add("the journal is not written: %s; %d accesses wait in memory", j.Error, j.Waiting)
	}
	if s.Config.LastError != "" {
		add("the configuration file is refused, an earlier one is in use: %s", s.Config.LastError)
	}
	return health{Healthy: len(reasons) == 0, Reasons: append([]string{}, reasons...)}
}

// write prints the reasons, and returns an error that is the exit code if there
// are any.
func (h health) write(w io.Writer, asJSON bool) error {
	var err error
	switch {
	case asJSON:
		err = printJSON(w, h)
	case h.Healthy:
		_, err = fmt.Fprintln(w, "ok")
	}
	for _, reason := range h.Reasons {
		if !asJSON && err == nil {
			_, err = fmt.Fprintln(w, printable(reason))
		}
	}
	if err == nil && !h.Healthy {
		return codeError(exitFailure)
	}
	return err
}
