package content

import "testing"

// Costly names the kinds that need the node's primes, and no others.
func TestCostly(t *testing.T) {
	for _, k := range Kinds() {
		m := NewMaker([32]byte{1})
		if _, err := m.Make(k.Name, Input{TokenID: "abcdefghijklmnopqrstuvwxyz"}); err != nil {
			continue // needs more input, and no key
		}
		needs := false
		select {
		case <-m.primes.wanted:
			needs = true
		default:
		}
		if needs != Costly(k.Name) {
			t.Errorf("%s: costly %v, needs primes: %v", k.Name, Costly(k.Name), needs)
		}
	}
	m := NewMaker([32]byte{1})
	m.Expect()
	m.Expect()
	<-m.primes.wanted
}
