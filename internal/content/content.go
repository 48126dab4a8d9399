package content

import (
	"fmt"
	"time"
)

// MaxTemplate is the largest template, in bytes.
const MaxTemplate = 64 << 10

// maxContent is the largest content that is made, in bytes. It is
// beesting.MaxTokenContent.
const maxContent = 1 << 20

// Input is what a content is made from. The same input gives the same content.
type Input struct {
	// TokenID is the canary id: 26 characters of [a-z2-7], 128 bits that nobody
	// can tell from random ones.
	TokenID string
	// Seed is secret, and different for each token in each container.
	Seed [32]byte
	// Time is when the container was made. What a content says of time lies
	// days to months before it.
	Time time.Time
	// Token, Container, Pod and Namespace are names, for templates.
	Token, Container, Pod, Namespace string
	// Template makes the content, in place of the kind, if it isn't empty.
	Template string
	// Values are the user's own in place of made ones; see Kind.Values.
	Values map[string]string
}

// Output is what is planted.
type Output struct {
	Content []byte
	// ModTime is when the file is to have been written.
	ModTime time.Time
}

// Maker makes contents. Its methods may be called concurrently.
type Maker struct {
	seed   [32]byte
	primes primes
}

// NewMaker takes a secret of the node, different from that of any token: keys
// whose making takes long share what is costly about them on a node.
func NewMaker(seed [32]byte) *Maker {
	return &Maker{seed: seed, primes: primes{wanted: make(chan struct{})}}
}

// Make makes the content of a kind, or of the template if in has one. It takes
// less than a millisecond of computing, but for gcp-service-account until Warm
// is done: about 40 ms.
func (m *Maker) Make(kind string, in Input) (Output, error) {
	j, err := m.job(in)
	if err != nil {
		return Output{}, err
	}
	data, err := j.content(kind)
	if err != nil {
		return Output{}, fmt.Errorf("content: %w", err)
	}
	return Output{Content: data, ModTime: j.at}, nil
}

func (j *job) content(kind string) ([]byte, error) {
	if j.in.Template != "" {
		return j.template(j.in.Template)
	}
	k, err := Lookup(kind)
	if err != nil {
		return nil, err
	}
	if err := k.checkValues(j.in.Values); err != nil {
		return nil, err
	}
	return k.make(j)
}

// ModTime is when a file with a content of the user's own is to have been
// written: the same as for a made one.
func ModTime(seed [32]byte, t time.Time) time.Time {
	s := newStream(seed, "time")
	const day = 24 * 60 * 60
	age := time.Duration(s.between(4*day, 200*day)) * time.Second
	// Some files are written by people and some by machines, neither of them on
	// the second.
	return t.Add(-age).Truncate(time.Second).Add(time.Duration(s.below(1e9))).UTC()
}

// job is one content while it is made.
type job struct {
	in    Input
	id    [idBytes]byte
	at    time.Time // when the content came into being; UTC
	maker *Maker
}

func (m *Maker) job(in Input) (*job, error) {
	id, err := parseID(in.TokenID)
	if err != nil {
		return nil, err
	}
	return &job{in: in, id: id, at: ModTime(in.Seed, in.Time), maker: m}, nil
}

func (j *job) stream(purpose string) *stream { return newStream(j.in.Seed, purpose) }

// value is the user's own value of that name, or the made one.
func (j *job) value(name string, made func(s *stream) string) string {
	if v, given := j.in.Values[name]; given {
		return v
	}
	return made(j.stream(name))
}

// passwordLength characters of base62 have room for the id and 62 bits more.
const passwordLength = 32

// password is a secret with the id in it, for formats that leave its form open.
func (j *job) password(s *stream) string { return s.embed(base62, passwordLength, j.id, idBits) }

// Check says what is wrong with a token's template or values before anything is
// planted: it makes one with them. kind has to be one that makes its content if
// template is empty.
func Check(kind, template string, values map[string]string) error {
	in := Input{
		TokenID: "aeaqcaibaeaqcaibaeaqcaibae", Time: time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC),
		Token: "token", Container: "container", Pod: "pod", Namespace: "namespace",
		Template: template, Values: values,
	}
	if template == "" && len(values) == 0 {
		_, err := Lookup(kind)
		return err
	}
	j, err := NewMaker([32]byte{}).job(in)
	if err == nil {
		_, err = j.content(kind)
	}
	return err
}
