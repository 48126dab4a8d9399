//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/cri"
)

// How many containers are started, half of them with an agent there. The sides
// take turns, since a machine that does something else meanwhile does it to both.
const (
	startRounds   = 4
	startPerRound = 20
)

// answered is what the agent logs of each request that it has answered.
var answered = regexp.MustCompile(`request of the runtime answered.*request=(\w+).*took=(\S+)`)

// TestStartCost measures what tokens add to the start of a container: three of
// them, one by each strategy. `make bench-start` runs it.
func TestStartCost(t *testing.T) {
	s := &planting{suite: suiteOf(t, plantingTokens+plantingMatch)}
	took := map[bool]map[string][]time.Duration{true: {}, false: {}}
	for round := range startRounds {
		for side := range 2 {
			with := (round+side)%2 == 1
			if with {
				s.startAgent(t)
			}
			s.starts(t, with, took[with])
			if with {
				if err := s.agent.Stop(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := s.agent.Uninstall(t.Context()); err != nil {
		t.Error(err)
	}
	fmt.Println("| | without | with | ratio |\n|---|--:|--:|--:|")
	for _, step := range []string{"create", "start", "both"} {
		for _, q := range []float64{0.5, 0.99} {
			without, with := quantile(took[false][step], q), quantile(took[true][step], q)
			fmt.Printf("| %s, p%.0f | %.0f ms | %.0f ms | %.2f |\n", step, 100*q, ms(without), ms(with), ms(with)/ms(without))
		}
	}
	s.handlers(t)
}

// starts runs containers in one pod, one after the other.
func (s *planting) starts(t *testing.T, with bool, took map[string][]time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), churnPatience)
	defer cancel()
	b := s.newBox(pod{ns: nsCells, name: fmt.Sprintf("start-%d", s.pods)})
	rt := s.node.CRI()
	var err error
	if b.sandbox, err = rt.RunPod(ctx, b.spec); err != nil {
		t.Fatal(err)
	}
	for i := range startPerRound {
		begin := time.Now()
		id, err := rt.CreateContainer(ctx, b.sandbox, b.spec, cri.Container{
			Name: fmt.Sprintf("c%d", i), Image: b.image, Command: []string{"sleep", "36000"},
		})
		if err != nil {
			t.Fatal(err)
		}
		created := time.Now()
		if err := rt.StartContainer(ctx, id); err != nil {
			t.Fatal(err)
		}
		end := time.Now()
		took["create"] = append(took["create"], created.Sub(begin))
		took["start"] = append(took["start"], end.Sub(created))
		took["both"] = append(took["both"], end.Sub(begin))
		b.id = id
		for _, token := range cellTokens {
			if with {
				s.planted(t, b, token, token)
			}
		}
		if err := rt.RemoveContainer(ctx, id); err != nil {
			t.Fatal(err)
		}
	}
	s.remove(t, b)
}

// handlers prints how long the agent's answers took.
func (s *planting) handlers(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(s.config.Dir, "agent.log"))
	if err != nil {
		t.Fatal(err)
	}
	took := map[string][]time.Duration{}
	for _, m := range answered.FindAllSubmatch(log, -1) {
		d, err := time.ParseDuration(string(m[2]))
		if err != nil {
			t.Fatal(err)
		}
		took[string(m[1])] = append(took[string(m[1])], d)
	}
	fmt.Println("\n| the agent's answer to | number | p50 | p99 |\n|---|--:|--:|--:|")
	for _, request := range []string{"create_container", "start_container", "remove_container"} {
		if len(took[request]) < startRounds*startPerRound {
			t.Errorf("%d answers to %s in the log, want %d at least", len(took[request]), request, startRounds*startPerRound)
			continue
		}
		fmt.Printf("| %s | %d | %.1f ms | %.1f ms |\n", request, len(took[request]),
			ms(quantile(took[request], 0.5)), ms(quantile(took[request], 0.99)))
	}
}

// quantile sorts d.
func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
