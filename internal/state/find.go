package state

import (
	"fmt"
	"slices"
	"strings"
)

const (
	// MaxFound bounds what ByTokenID returns.
	MaxFound = 100
	// tokenIDLength is that of a canary id: 128 bits in base32.
	tokenIDLength = 26
)

// Found is a placement, and the record of the container that it is or was in.
// Record.RemovedAt is zero as long as the container is there.
type Found struct {
	Record Record
	Token  Token
}

// checkPrefix makes sure that prefix can begin a canary id.
func checkPrefix(prefix string) error {
	if prefix == "" || len(prefix) > tokenIDLength || !isTokenID(prefix) {
		return fmt.Errorf("token id %q: not 1 to %d characters of a-z and 2-7", clip([]byte(prefix)), tokenIDLength)
	}
	return nil
}

// isTokenID reports whether s, or what begins with it, can be in the index.
func isTokenID(s string) bool {
	return s != "" && len(s) <= tokenIDLength &&
		strings.IndexFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '2' || r > '7') }) < 0
}

func (s *records) find(prefix string) ([]Found, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	var f finding
	s.mu.Lock()
	for _, r := range s.live {
		f.addRecord(r, prefix)
	}
	// What moves to the history meanwhile is found in both, and told once.
	for _, changes := range []map[string]change{s.pending, s.flight} {
		for _, c := range changes {
			if c.gone != nil {
				f.addRecord(*c.gone, prefix)
			}
		}
	}
	s.mu.Unlock()
	err := s.db.find(prefix, &f)
	return f.result(), err
}

// finding collects placements, each once.
type finding struct {
	all  []Found
	seen map[[2]string]bool // container, token id
}

func (f *finding) addRecord(r Record, prefix string) {
	for _, t := range r.Tokens {
		if strings.HasPrefix(t.ID, prefix) {
			f.add(r, t)
		}
	}
}

func (f *finding) add(r Record, t Token) {
	key := [2]string{recordKey(r.Container), t.ID}
	if f.seen[key] {
		return
	}
	if f.seen == nil {
		f.seen = map[[2]string]bool{}
	}
	f.seen[key] = true
	f.all = append(f.all, Found{Record: r.clone(), Token: t})
}

// result is the latest first.
func (f *finding) result() []Found {
	slices.SortFunc(f.all, func(a, b Found) int {
		if c := b.Token.PlantedAt.Compare(a.Token.PlantedAt); c != 0 {
			return c
		}
		return strings.Compare(a.Token.ID, b.Token.ID)
	})
	return f.all[:min(len(f.all), MaxFound)]
}
