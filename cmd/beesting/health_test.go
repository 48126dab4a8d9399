package main

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/journal"
	"github.com/beesting-otel/beesting/internal/reload"
	"github.com/beesting-otel/beesting/internal/state"
)

func healthyStatus() nodeStatus {
	s := nodeStatus{Status: agent.Status{
		Ready:     true,
		Unplanted: []agent.UnplantedStatus{{Namespace: "shop", Pod: "db", ContainerName: "app", Why: "below a volume", Since: statusTime.Add(-time.Hour)}},
	}}
	s.NRI.Connected = true
	return s
}

func TestHealth(t *testing.T) {
	for name, c := range map[string]struct {
		edit    func(*nodeStatus)
		lacking time.Duration
		want    []string
	}{
		"well":                {},
		"not registered":      {edit: func(s *nodeStatus) { s.NRI.Connected, s.NRI.LastError = false, "closed" }, want: []string{"not registered with the container runtime: closed"}},
		"not yet":             {edit: func(s *nodeStatus) { s.NRI.Connected, s.NRI.Socket = false, "/s" }, want: []string{"not registered with the container runtime at /s"}},
		"not ready":           {edit: func(s *nodeStatus) { s.Ready = false }, want: []string{"not ready: looking at the containers that ran before"}},
		"lacking":             {lacking: 59 * time.Minute, want: []string{"1 containers lack tokens for longer than 59m0s, among them shop/db app: below a volume"}},
		"lacking not so long": {lacking: time.Hour},
		"journal":             {edit: func(s *nodeStatus) { s.Journal = &journal.Stats{Error: "disk full", Waiting: 7} }, want: []string{"the journal is not written: disk full; 7 accesses wait in memory"}},
		"no journal's error":  {edit: func(s *nodeStatus) { s.Journal = &journal.Stats{} }},
		"records":             {edit: func(s *nodeStatus) { s.Records = state.Stats{Error: "disk full", Pending: 3} }, want: []string{"records are not written: disk full; 3 containers wait"}},
		"configuration, and another": {
			edit: func(s *nodeStatus) { s.Config, s.Ready = reload.Status{LastError: "f:1: no"}, false },
			want: []string{"not ready: looking at the containers that ran before", "the configuration file is refused, an earlier one is in use: f:1: no"},
		},
	} {
		s := healthyStatus()
		if c.edit != nil {
			c.edit(&s)
		}
		h := s.health(statusTime, c.lacking)
		if !slices.Equal(h.Reasons, c.want) || h.Healthy != (len(c.want) == 0) {
			t.Errorf("%s: %+v", name, h)
		}
	}
}

func TestHealthWrite(t *testing.T) {
	for _, c := range []struct {
		health
		asJSON bool
		want   string
	}{
		{health{Healthy: true}, false, "ok\n"},
		{health{Reasons: []string{"a\x1b[2J", "b"}}, false, "a\\x1b[2J\nb\n"},
		{health{Reasons: []string{"a"}}, true, `"healthy": false`},
	} {
		var out bytes.Buffer
		err := c.write(&out, c.asJSON)
		var code codeError
		if failed := errors.As(err, &code) && code == exitFailure; failed == c.Healthy || !strings.Contains(out.String(), c.want) {
			t.Errorf("%+v: %v, %q", c.health, err, out.String())
		}
	}
}
