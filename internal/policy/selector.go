package policy

import (
	"log/slog"
	"strings"
	"sync"

	"github.com/beesting-otel/beesting"
)

// maxWarned bounds the pods that are remembered as warned of. A node runs 110
// pods by the kubelet's default.
const maxWarned = 1024

// Selector is [Policy.Select] for as long as the policy holds. It warns of what
// pods say and nobody understands, once for each pod. It is safe for concurrent
// use.
func (p Policy) Selector(log *slog.Logger) func(beesting.Container) []beesting.Token {
	w := &warner{log: log, told: map[string]bool{}}
	return func(c beesting.Container) []beesting.Token {
		tokens, odd := p.choose(&c)
		if len(odd) > 0 {
			w.warn(c.Pod, odd)
		}
		return tokens
	}
}

type warner struct {
	log *slog.Logger

	mu   sync.Mutex
	told map[string]bool // by pod
}

func (w *warner) warn(p beesting.Pod, odd []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.told[p.ID] {
		return
	}
	if len(w.told) >= maxWarned {
		clear(w.told) // some are told of again
	}
	w.told[p.ID] = true
	w.log.Warn("pod's annotation not understood", slog.String("namespace", p.Namespace), slog.String("pod", p.Name),
		slog.String("problem", strings.Join(odd, "; ")))
}
