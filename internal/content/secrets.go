package content

import (
	"hash/crc32"
)

// line is a file with nothing but a secret.
func (j *job) line(name string, made func(*stream) string) ([]byte, error) {
	return []byte(j.value(name, made) + "\n"), nil
}

const (
	checkedBody   = 30
	checkedLength = checkedBody + 6
)

// checked is the form of the tokens of GitHub and npm behind their prefix: 30
// random characters and their CRC-32 in base62, as GitHub described it in 2021
// ("Behind GitHub's new authentication token formats").
func (j *job) checked(s *stream) string {
	body := s.embed(base62, checkedBody, j.id, idBits)
	return body + checksum62(body)
}

func checksum62(body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	var out [checkedLength - checkedBody]byte
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = base62[sum%62]
		sum /= 62
	}
	return string(out[:])
}

func (j *job) github() ([]byte, error) {
	return j.line("token", func(s *stream) string { return "ghp_" + j.checked(s) })
}

// GitLab makes its tokens with Devise's friendly_token: 20 characters of
// URL-safe base64 in which l, I, O and 0 are replaced as they are easily
// misread. 110 bits are 22 whole characters of an id, which leave a choice of
// 281, so that the first character looks like the others.
const (
	gitlabAlphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz-_"
	gitlabLength   = 20
	gitlabBits     = 110
)

func (j *job) gitlab() ([]byte, error) {
	return j.line("token", func(s *stream) string {
		return "glpat-" + s.embed(gitlabAlphabet, gitlabLength, j.id, gitlabBits)
	})
}

const slackLength = 24

func (j *job) slack() ([]byte, error) {
	return j.line("token", func(s *stream) string {
		number := func() string { return s.text(digits[1:], 1) + s.text(digits, 12) }
		return "xoxb-" + number() + "-" + number() + "-" + s.embed(base62, slackLength, j.id, idBits)
	})
}

// A key of Stripe has 99 characters behind "sk_live_": "51", 14 that name the
// account, 71 random ones, "00", and 10 random ones.
const (
	stripePrefix  = "sk_live_51"
	stripeAccount = 14
	stripeBody    = 71
	stripeTail    = 10
)

func (j *job) stripe() ([]byte, error) {
	return j.line("key", func(s *stream) string {
		return stripePrefix + s.text(base62, stripeAccount) + s.embed(base62, stripeBody, j.id, idBits) + "00" + s.text(base62, stripeTail)
	})
}
