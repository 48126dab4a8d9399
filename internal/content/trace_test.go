package content

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Texts that make a tracer work. Each has to end soon: at this size, what takes
// time in proportion to the square would take hours.
func TestTraceHostile(t *testing.T) {
	const size = 1 << 20
	fill := func(s string) []byte { return []byte(strings.Repeat(s, size/len(s)+2)) }
	deep := []byte("x")
	for len(deep) < size/2 {
		deep = []byte(base64.StdEncoding.EncodeToString(append(deep, bytes.Repeat([]byte("ab"), 100)...)))
	}
	tests := map[string][]byte{
		"letters":    fill("a"),
		"passwords":  fill("Zz5678901234567890123456789012Ab "),
		"different":  different(),
		"begin":      fill("-----BEGIN "),
		"empty keys": fill("-----BEGIN PRIVATE KEY----------END PRIVATE KEY-----"),
		"short keys": fill("-----BEGIN PRIVATE KEY-----MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEA-----END PRIVATE KEY-----"),
		"prefixes":   fill("ghp_npm_glpat-xoxb-sk_live_51pypi-AgEI"),
		"dots":       fill("eyJ.eyJ."),
		"Q~":         fill("Q~"),
		"escapes":    fill(`\u005c\n%25`),
		"backslash":  fill(`\`),
		"lines":      fill(strings.Repeat("QUJD", 19) + "\n"),
		"deep":       deep,
		"zeros":      make([]byte, MaxTrace+1),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			found := Trace(data)
			if len(found) > MaxFound {
				t.Errorf("%d found", len(found))
			}
			if took := time.Since(start); took > time.Minute { // a fraction of a second on an idle machine
				t.Errorf("took %v", took)
			}
		})
	}
}

// different passwords, more than are kept.
func different() []byte {
	var b bytes.Buffer
	s := newStream([32]byte{}, "")
	for range 2 * MaxFound {
		b.WriteString(s.text(base62, passwordLength) + "\n")
	}
	return b.Bytes()
}

// What can be mistaken leaves room for what can't.
func TestTraceFindsBehindGuesses(t *testing.T) {
	in := input(1)
	for _, kind := range []string{"github-token", "ssh-private-key", "kubernetes-token", "stripe-key"} {
		data := append(different(), mustMake(t, kind, in).Content...)
		found := Trace(data)
		if len(found) == 0 || found[0].ID != in.TokenID || !found[0].Whole() {
			t.Errorf("%s: not first of %d", kind, len(found))
		}
	}
}

// A log has many words of these lengths that are nobody's secrets.
func TestTraceLeavesOut(t *testing.T) {
	for _, text := range []string{
		"",
		"trace_id=4bf92f3577b34da6a3ce929d0e0e4736 md5 D41D8CD98F00B204E9800998ECF8427E",
		"ghp_zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq18", // a wrong checksum
		"glpat-short xoxb-1-2-3 sk_live_x AKIAIOSFODNN7 eyJ.e.x",
		"a sentence of some words, none of which is a secret at all",
	} {
		if found := Trace([]byte(text)); len(found) > 0 {
			t.Errorf("%v in %q", found, text)
		}
	}
}

func FuzzTrace(f *testing.F) {
	maker := NewMaker([32]byte{1})
	for n, kind := range Names() {
		out, err := maker.Make(kind, input(n))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(out.Content)
		f.Add([]byte(base64.StdEncoding.EncodeToString(out.Content)))
		f.Add(fmt.Appendf(nil, "%q", out.Content))
	}
	f.Add(different()[:2000])
	f.Fuzz(func(t *testing.T, data []byte) {
		found := Trace(data)
		if len(found) > MaxFound {
			t.Errorf("%d found", len(found))
		}
		seen := map[string]bool{}
		for _, one := range found {
			if len(one.ID) > IDLength || len(one.ID) < gitlabBits/5 || strings.Trim(one.ID, "abcdefghijklmnopqrstuvwxyz234567") != "" || seen[one.ID] || one.Form == "" {
				t.Errorf("found %+v", one)
			}
			seen[one.ID] = true
		}
		// What was found is found in any place.
		again := Trace(append(append([]byte("see: "), data...), "\n- there"...))
		if len(found) > 0 && len(found) < MaxFound/2 && len(again) == 0 {
			t.Errorf("%v is lost in a text", found)
		}
	})
}
