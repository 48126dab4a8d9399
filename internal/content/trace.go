package content

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// Limits of a trace. A longer text is looked at up to the limit.
const (
	// MaxTrace is how much of a text is looked at, in bytes.
	MaxTrace = 8 << 20
	// MaxFound is how many ids are found at most.
	MaxFound = 2048
	// maxDepth is how often base64 is opened: a Kubernetes secret holds a Docker
	// configuration, which holds a login.
	maxDepth = 3
)

// Found is a canary id that a text may hold. Whether it is one only its node
// knows: any 32 letters and digits could be a password of ours.
type Found struct {
	// ID is an id, or the beginning of one: [a-z2-7].
	ID string
	// Form is what it was found in, for people.
	Form string
}

// Whole reports whether it is a whole id.
func (f Found) Whole() bool { return len(f.ID) == IDLength }

// Trace finds the ids that a text may hold: a whole file of any kind, a secret
// alone, or one inside of something else, such as a log, JSON, or a Kubernetes
// secret. Each id is given once, those in unmistakable forms first. It takes
// time in proportion to the text.
func Trace(data []byte) []Found {
	t := tracer{seen: map[string]bool{}, passwords: places(base62), azure: places(azureAlphabet), gitlab: places(gitlabAlphabet)}
	t.look(data[:min(len(data), MaxTrace)], 0)
	return append(t.certain, t.guesses...)
}

type tracer struct {
	seen             map[string]bool
	certain, guesses []Found

	passwords, azure, gitlab *[256]int16
}

// look looks at a text, at what its escapes stand for, and at what its base64
// holds.
func (t *tracer) look(data []byte, depth int) {
	t.forms(data)
	plain := unescape(data)
	if len(plain) != len(data) {
		t.forms(plain)
	}
	if depth == maxDepth {
		return
	}
	// What it holds is three quarters as long, so that the work is bounded.
	runs(joinLines(plain), isBase64, func(run []byte, _ int) {
		if len(run) < 24 {
			return
		}
		if inner := decode64(run); inner != nil {
			t.look(inner, depth+1)
		}
	})
}

// forms tries each form that a secret of ours can have.
func (t *tracer) forms(data []byte) {
	t.keys(data)
	runs(data, isAlnum, func(run []byte, at int) { t.alnum(data, run, at) })
	runs(data, isBase64, func(run []byte, _ int) {
		// All hexadecimal is the name of a commit, but for one secret in 10^24.
		if len(run) != base64.StdEncoding.EncodedLen(awsSecretBytes) || isHex(run) {
			return
		}
		if raw := decode64(run); raw != nil {
			t.add(raw[awsIDOffset:], "AWS secret access key", false)
		}
	})
	runs(data, isToken, func(run []byte, _ int) {
		t.dashed(run)
		t.jwt(run)
		t.pypi(run)
		t.entra(run)
	})
}

// runs calls f for each longest run of characters that is tells of.
func runs(data []byte, is func(byte) bool, f func(run []byte, at int)) {
	for at := 0; at < len(data); at++ {
		if !is(data[at]) {
			continue
		}
		end := at + 1
		for end < len(data) && is(data[end]) {
			end++
		}
		f(data[at:end], at)
		at = end
	}
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isBase64(c byte) bool { return isAlnum(c) || c == '+' || c == '/' }
func isToken(c byte) bool  { return isAlnum(c) || c == '-' || c == '_' || c == '.' || c == '~' }

func isHex(run []byte) bool {
	for _, c := range run {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

// alnum is for what consists of letters and digits, with a prefix or without.
func (t *tracer) alnum(data, run []byte, at int) {
	before := func(prefix string) bool { return bytes.HasSuffix(data[:at], []byte(prefix)) }
	switch n := len(run); {
	case n == 2*gcpKeyIDBytes && isHex(run):
		if raw, err := hex.DecodeString(string(run)); err == nil {
			known := bytes.Contains(data[max(0, at-len(`private_key_id\": \"`)):at], []byte("private_key_id"))
			t.add(raw[gcpIDOffset:], "GCP private key id", known)
		}
	case n == checkedLength && (before("ghp_") || before("npm_")):
		body := string(run[:checkedBody])
		if checksum62(body) == string(run[checkedBody:]) {
			form := "GitHub token"
			if before("npm_") {
				form = "npm token"
			}
			t.number(t.passwords, base62, run[:checkedBody], idBits, form, true)
		}
	case n == passwordLength && !isHex(run): // else a trace id, an MD5
		t.number(t.passwords, base62, run, idBits, "password", false)
	case n == IDLength:
		if id, err := parseID(string(run)); err == nil {
			t.add(id[:], "token id", false)
		}
	case n == len("51")+stripeAccount+stripeBody+len("00")+stripeTail && before("sk_live_"):
		t.number(t.passwords, base62, run[2+stripeAccount:][:stripeBody], idBits, "Stripe key", true)
	}
}

// dashed is for the tokens whose form says where they begin.
func (t *tracer) dashed(run []byte) {
	if _, body, found := bytes.Cut(run, []byte("glpat-")); found && len(body) >= gitlabLength {
		t.number(t.gitlab, gitlabAlphabet, body[:gitlabLength], gitlabBits, "GitLab token", true)
	}
	if _, body, found := bytes.Cut(run, []byte("xoxb-")); found {
		parts := bytes.SplitN(body, []byte("-"), 4)
		if len(parts) == 3 && len(parts[2]) >= slackLength {
			t.number(t.passwords, base62, parts[2][:slackLength], idBits, "Slack token", true)
		}
	}
}

// jwt tries each part of a run that could be a signature.
func (t *tracer) jwt(run []byte) {
	for part := range bytes.SplitSeq(run, []byte(".")) {
		if len(part) != base64.RawURLEncoding.EncodedLen(jwtSignature) {
			continue
		}
		if raw, err := base64.RawURLEncoding.DecodeString(string(part)); err == nil {
			t.add(raw[jwtIDOffset:], "JWT signature", true)
		}
	}
}

func (t *tracer) pypi(run []byte) {
	at := bytes.LastIndex(run, []byte(pypiPrefix+"AgEI"))
	if at < 0 {
		return
	}
	text := strings.TrimRight(string(run[at+len(pypiPrefix):]), ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) < 2+32 {
		return
	}
	signature := raw[len(raw)-34:]
	if signature[0] == macaroonSignature && signature[1] == 32 {
		t.add(signature[2+signatureOffset:], "PyPI token", true)
	}
}

// entra finds each "Q~" of a run that is at its place in a secret.
func (t *tracer) entra(run []byte) {
	for at := 0; ; {
		next := bytes.Index(run[at:], []byte("Q~"))
		if next < 0 {
			return
		}
		at += next + 2
		if at >= azureLead+2 && isDigit(run[at-3]) && len(run)-at >= azureLength {
			t.number(t.azure, azureAlphabet, run[at:at+azureLength], idBits, "Azure client secret", true)
			at += azureLength
		}
	}
}

func (t *tracer) number(places *[256]int16, alphabet string, text []byte, bits uint, form string, certain bool) {
	if t.full(certain) {
		return
	}
	if id, ok := extract(places, int64(len(alphabet)), text, bits); ok {
		t.note(idText(id, bits), form, certain)
	}
}

func (t *tracer) add(id []byte, form string, certain bool) {
	t.note(idText([idBytes]byte(id[:idBytes]), idBits), form, certain)
}

// full says that there is no room for another; guesses leave that for certain
// ones.
func (t *tracer) full(certain bool) bool {
	if certain {
		return len(t.certain) >= MaxFound/2
	}
	return len(t.guesses) >= MaxFound/2
}

func (t *tracer) note(id, form string, certain bool) {
	if t.full(certain) || t.seen[id] {
		return
	}
	t.seen[id] = true
	if certain {
		t.certain = append(t.certain, Found{id, form})
	} else {
		t.guesses = append(t.guesses, Found{id, form})
	}
}

// joinLines takes out the line ends within base64 that was broken into lines, of
// 64 characters or more (RFC 7468, RFC 2045, base64(1)).
func joinLines(data []byte) []byte {
	const least = 64
	out := make([]byte, 0, len(data))
	run := 0 // characters of base64 before this one
	for i, c := range data {
		switch {
		case isBase64(c):
			run++
		case c == '\r' && run >= least && i+1 < len(data) && data[i+1] == '\n':
			continue
		case c == '\n' && run >= least:
			run = 0
			continue
		default:
			run = 0
		}
		out = append(out, c)
	}
	return out
}

// decode64 opens a run without its padding; nil if it is no base64. A text that
// isn't base64 is a multiple of four characters as well as one that is, and
// opening it does no harm.
func decode64(run []byte) []byte {
	raw := make([]byte, base64.RawStdEncoding.DecodedLen(len(run)))
	n, err := base64.RawStdEncoding.Decode(raw, run)
	if err != nil {
		return nil
	}
	return raw[:n]
}

// unescape replaces what JSON, URLs and shells write for other characters.
func unescape(data []byte) []byte {
	if bytes.IndexByte(data, '\\') < 0 && bytes.IndexByte(data, '%') < 0 {
		return data
	}
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); i++ {
		c := data[i]
		switch {
		case c == '\\' && i+1 < len(data):
			i++
			switch data[i] {
			case 'n', 'r', 't':
				c = '\n'
			case 'u':
				if v, ok := hexByte(data[i+1:], 4); ok {
					c, i = v, i+4
				}
			default:
				c = data[i]
			}
		case c == '%':
			if v, ok := hexByte(data[i+1:], 2); ok {
				c, i = v, i+2
			}
		}
		out = append(out, c)
	}
	return out
}

// hexByte reads n hexadecimal digits that stand for one byte.
func hexByte(data []byte, n int) (byte, bool) {
	if len(data) < n {
		return 0, false
	}
	v := 0
	for _, c := range data[:n] {
		d := strings.IndexByte(hexDigit, c|0x20)
		if d < 0 {
			return 0, false
		}
		v = v<<4 | d
	}
	return byte(v), v < 256
}
