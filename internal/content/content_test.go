package content

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// input is that of the n-th container.
func input(n int) Input {
	sum := sha256.Sum256(fmt.Append(nil, "id ", n))
	return Input{
		TokenID: strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:16])),
		Seed:    sha256.Sum256(fmt.Append(nil, "seed ", n)),
		Time:    time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC),
		Token:   "token", Container: "app", Pod: "shop-7d9f", Namespace: "shop",
	}
}

// node is the maker of one node, as its primes take long.
var node = NewMaker([32]byte{1})

func mustMake(t testing.TB, kind string, in Input) Output {
	t.Helper()
	out, err := node.Make(kind, in)
	if err != nil {
		t.Fatalf("%s: %v", kind, err)
	}
	return out
}

func TestDeterminism(t *testing.T) {
	for _, kind := range Names() {
		t.Run(kind, func(t *testing.T) {
			first, other := mustMake(t, kind, input(1)), mustMake(t, kind, input(2))
			again, err := NewMaker([32]byte{1}).Make(kind, input(1)) // after a restart
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(first.Content, again.Content) || !first.ModTime.Equal(again.ModTime) {
				t.Error("the same placement has another content")
			}
			if bytes.Equal(first.Content, other.Content) || first.ModTime.Equal(other.ModTime) {
				t.Error("two containers have the same content or time")
			}
			if len(first.Content) == 0 || len(first.Content) > 16<<10 {
				t.Errorf("%d bytes", len(first.Content))
			}
		})
	}
}

// What one container's content has in common with another's gives nothing away.
func TestNothingTellsTales(t *testing.T) {
	words := regexp.MustCompile(`(?i)honey|fake|canary|example|beesting|decoy|dummy|sample`)
	for _, kind := range Names() {
		for n := range 20 {
			in := input(n)
			out := mustMake(t, kind, in)
			// Random text can hold a word of four letters, the same one in 20
			// containers it can't.
			if m := words.Find(out.Content); len(m) > 5 {
				t.Errorf("%s: %q in\n%s", kind, m, out.Content)
			}
			if bytes.Contains(out.Content, []byte(in.TokenID)) {
				t.Errorf("%s: the id stands there as it is", kind)
			}
			if age := in.Time.Sub(out.ModTime); age < 4*24*time.Hour || age > 201*24*time.Hour {
				t.Errorf("%s: written %v before", kind, age)
			}
		}
	}
}

// finds reports whether the id is found in the text.
func finds(data []byte, id string) bool {
	for _, f := range Trace(data) {
		if len(f.ID) >= 20 && strings.HasPrefix(id, f.ID) {
			return true
		}
	}
	return false
}

func TestTraceEveryKind(t *testing.T) {
	for _, kind := range Kinds() {
		if kind.make == nil {
			continue
		}
		if kind.Bits == 0 {
			t.Errorf("%s: has room, and no id", kind.Name)
		}
		t.Run(kind.Name, func(t *testing.T) {
			for n := range 20 {
				in := input(n)
				out := mustMake(t, kind.Name, in)
				for form, text := range disguises(t, out.Content) {
					if !finds([]byte(text), in.TokenID) {
						t.Errorf("%s: not found in\n%s", form, text)
					}
				}
				if n == 0 && finds(out.Content, input(99).TokenID) {
					t.Error("another's id is found")
				}
			}
		})
	}
}

// disguises are the forms in which a stolen file turns up.
func disguises(t *testing.T, content []byte) map[string]string {
	t.Helper()
	b64 := base64.StdEncoding.EncodeToString(content)
	quoted, err := json.Marshal(map[string]string{"level": "info", "msg": "env: x=" + string(content)})
	if err != nil {
		t.Fatal(err)
	}
	twice, err := json.Marshal(string(quoted))
	if err != nil {
		t.Fatal(err)
	}
	var broken strings.Builder
	for i := 0; i < len(b64); i += 76 {
		broken.WriteString(b64[i:min(i+76, len(b64))] + "\n")
	}
	return map[string]string{
		"as it is": string(content),
		"log line": "2026-03-04T05:06:07Z INFO leaked: " + string(content) + " (end)",
		"JSON":     string(quoted), "JSON in JSON": string(twice),
		"base64": b64, "broken base64": broken.String(),
		"CRLF":              strings.ReplaceAll(string(content), "\n", "\r\n"),
		"Kubernetes secret": "apiVersion: v1\nkind: Secret\ndata:\n  file: " + b64 + "\n",
	}
}

// The secret alone, as somebody would paste it.
func TestTraceSecretsAlone(t *testing.T) {
	secrets := map[string]string{
		"gcp-service-account": `"private_key_id": "([^"]+)"`,
		"aws-credentials":     `aws_secret_access_key = (\S+)`,
		"azure-credentials":   `"clientSecret": "([^"]+)"`,
		"env-file":            `postgres://[^:]+:([^@]+)@`,
		"npmrc":               `_authToken=(\S+)`,
		"pypirc":              `password = (\S+)`,
		"netrc":               `password (\S+)`,
		"pgpass":              `:([^:]+)\n$`,
		"kubernetes-token":    `\.([^.]+)$`,
		"kubeconfig":          `client-key-data: (\S+)`,
		"docker-config":       `"auth": "([^"]+)"`,
		"github-token":        `(\S+)`, "gitlab-token": `(\S+)`, "slack-token": `(\S+)`, "stripe-key": `(\S+)`,
	}
	for kind, pattern := range secrets {
		for n := range 20 {
			in := input(n)
			m := regexp.MustCompile(pattern).FindSubmatch(mustMake(t, kind, in).Content)
			if m == nil {
				t.Fatalf("%s: no secret", kind)
			}
			for _, text := range []string{string(m[1]), `{"k":"` + string(m[1]) + `"}`, "token=" + string(m[1]) + "\n", "https://u:" + string(m[1]) + "@host/x"} {
				if !finds([]byte(text), in.TokenID) {
					t.Errorf("%s: not found in %s", kind, text)
				}
			}
		}
	}
	if in := input(1); !finds([]byte("honeytoken.id="+in.TokenID+"\n"), in.TokenID) {
		t.Error("an id as it is was not found")
	}
}

// The id stands in a content once: an intruder who knows this code and found it
// twice would know what he has.
func TestOneIDInAContent(t *testing.T) {
	for _, kind := range Names() {
		out := mustMake(t, kind, input(3))
		counts := map[string]int{}
		for _, f := range Trace(out.Content) {
			counts[f.ID]++
		}
		for id, n := range counts {
			if n > 1 {
				t.Errorf("%s: %s %d times", kind, id, n)
			}
		}
	}
}

// Whoever doesn't know the id sees nothing but random text: each place of a
// secret has each character about equally often.
func TestEmbeddedLooksRandom(t *testing.T) {
	tests := []struct {
		name, alphabet string
		length         int
		bits           uint
	}{
		{"password", base62, passwordLength, idBits},
		{"checked", base62, checkedBody, idBits},
		{"slack", base62, slackLength, idBits},
		{"gitlab", gitlabAlphabet, gitlabLength, gitlabBits},
		{"azure", azureAlphabet, azureLength, idBits},
	}
	const rounds = 6000
	for _, test := range tests {
		counts := make([]map[byte]int, test.length)
		for i := range counts {
			counts[i] = map[byte]int{}
		}
		s := newStream([32]byte{7}, test.name)
		for range rounds {
			var id [idBytes]byte
			_, _ = s.Read(id[:])
			text := s.embed(test.alphabet, test.length, id, test.bits)
			for i := range text {
				counts[i][text[i]]++
			}
			got, ok := extract(places(test.alphabet), int64(len(test.alphabet)), []byte(text), test.bits)
			if !ok || idText(got, test.bits) != idText(id, test.bits) {
				t.Fatalf("%s: %x in %s read as %x", test.name, id, text, got)
			}
		}
		want := float64(rounds) / float64(len(test.alphabet))
		for i, c := range counts {
			chi := 0.0
			for k := range len(test.alphabet) {
				d := float64(c[test.alphabet[k]]) - want
				chi += d * d / want
			}
			// The mean is the number of characters; 2.5 times that doesn't happen.
			if chi > 2.5*float64(len(test.alphabet)) {
				t.Errorf("%s: place %d: chi square %.0f", test.name, i, chi)
			}
		}
	}
}

// The checksum of the token in GitHub's own description.
func TestChecksum(t *testing.T) {
	const published = "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17"
	if got := checksum62(published[:checkedBody]); got != published[checkedBody:] {
		t.Errorf("checksum %s, want %s", got, published[checkedBody:])
	}
}

func TestTokenPatterns(t *testing.T) {
	// Those of GitLab's secret detection and of gitleaks.
	patterns := map[string]string{
		"github-token": `^ghp_[0-9a-zA-Z]{36}\n$`,
		"gitlab-token": `^glpat-[0-9a-zA-Z_-]{20}\n$`,
		"slack-token":  `^xoxb-[0-9]{10,13}-[0-9]{10,13}-[a-zA-Z0-9]{24}\n$`,
		"stripe-key":   `^sk_live_[a-zA-Z0-9]{99}\n$`,
	}
	for kind, pattern := range patterns {
		for n := range 50 {
			if out := mustMake(t, kind, input(n)); !regexp.MustCompile(pattern).Match(out.Content) {
				t.Errorf("%s: %s", kind, out.Content)
			}
		}
	}
}

// The account that scanners read from an access key's id.
func TestAWSAccount(t *testing.T) {
	for n := range 50 {
		m := regexp.MustCompile(`AKIA([A-Z2-7]{16})\n`).FindSubmatch(mustMake(t, "aws-credentials", input(n)).Content)
		if m == nil {
			t.Fatal("no access key id")
		}
		raw, err := base32.StdEncoding.DecodeString(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		var first uint64
		for _, b := range raw[:6] {
			first = first<<8 | uint64(b)
		}
		if account := fmt.Sprint(first & 0x7fffffffff80 >> 7); len(account) != 12 {
			t.Errorf("account %s", account)
		}
	}
}

func TestModes(t *testing.T) {
	for _, k := range Kinds() {
		if k.Mode&^0o777 != 0 || k.Mode&0o400 == 0 || k.Mode&0o022 != 0 {
			t.Errorf("%s: mode %04o", k.Name, k.Mode)
		}
		if k.Path != "" && !strings.HasPrefix(k.Path, "/") {
			t.Errorf("%s: path %s", k.Name, k.Path)
		}
	}
}

func TestBadTokenID(t *testing.T) {
	for _, id := range []string{"", "short", strings.Repeat("1", 26), strings.Repeat("a", 25) + "b", strings.ToUpper(input(1).TokenID)} {
		in := input(1)
		in.TokenID = id
		if _, err := NewMaker([32]byte{}).Make("npmrc", in); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}

func BenchmarkMake(b *testing.B) {
	for _, kind := range Names() {
		b.Run(kind, func(b *testing.B) {
			m := NewMaker([32]byte{1})
			for n := range b.N {
				if _, err := m.Make(kind, input(n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
