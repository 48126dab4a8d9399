package config

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Each of these reads one value; false means that a problem was noted.

// text takes any scalar as it is written: 1.10 stays "1.10", off stays "off".
func (p *parser) text(n *yaml.Node, what string) (string, bool) {
	if !p.kind(n, yaml.ScalarNode, what) {
		return "", false
	}
	s, ok := p.expand(n, what)
	if !ok {
		return "", false
	}
	if strings.ContainsRune(s, 0) {
		p.fail(n, "%s: must not hold a NUL byte", what)
		return "", false
	}
	return s, true
}

func (p *parser) oneOf(n *yaml.Node, what string, allowed []string) (string, bool) {
	s, ok := p.text(n, what)
	if !ok {
		return "", false
	}
	if slices.Contains(allowed, s) {
		return s, true
	}
	hint := ""
	if near := suggest(s, allowed); near != "" {
		hint = ": did you mean " + strconv.Quote(near) + "?"
	}
	p.fail(n, "%s: %q is not one of %s%s", what, clip(s), strings.Join(allowed, ", "), hint)
	return "", false
}

func (p *parser) integer(n *yaml.Node, what string, least, most int) (int, bool) {
	s, ok := p.text(n, what)
	if !ok {
		return 0, false
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < least || v > most {
		p.fail(n, "%s: %q is not a whole number from %d to %d", what, clip(s), least, most)
		return 0, false
	}
	return v, true
}

// size reads a number of bytes, with KiB, MiB or GiB behind it or not.
func (p *parser) size(n *yaml.Node, what string, least, most int) (int, bool) {
	s, ok := p.text(n, what)
	if !ok {
		return 0, false
	}
	number, shift := s, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, found := strings.CutSuffix(s, unit); found {
			number, shift = strings.TrimSpace(rest), 10*(i+1)
		}
	}
	v, err := strconv.Atoi(number)
	if err != nil || v < 0 || v > most>>shift || v<<shift < least {
		p.fail(n, `%s: %q is not a size from %s to %s (a number of bytes, or one with KiB, MiB or GiB)`, what, clip(s), bytesText(least), bytesText(most))
		return 0, false
	}
	return v << shift, true
}

func bytesText(n int) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if shift := 30 - 10*i; n >= 1<<shift && n%(1<<shift) == 0 {
			return strconv.Itoa(n>>shift) + unit
		}
	}
	return strconv.Itoa(n)
}

// mode reads permission bits. A leading zero is asked for, because 644 could
// be meant as a decimal number, which Kubernetes takes in the same place.
func (p *parser) mode(n *yaml.Node, what string) (fs.FileMode, bool) {
	s, ok := p.text(n, what)
	if !ok {
		return 0, false
	}
	v, err := strconv.ParseUint(strings.Replace(s, "0o", "0", 1), 8, 32)
	if err != nil || !strings.HasPrefix(s, "0") || v > 0o777 {
		p.fail(n, `%s: %q is not octal permission bits with a leading zero, like "0600"`, what, clip(s))
		return 0, false
	}
	return fs.FileMode(v), true
}

func (p *parser) absolute(n *yaml.Node, what string) (string, bool) {
	s, ok := p.text(n, what)
	if !ok {
		return "", false
	}
	if !filepath.IsAbs(s) {
		p.fail(n, "%s: %q is not an absolute path", what, clip(s))
		return "", false
	}
	return filepath.Clean(s), true
}

// maxSocket is the room in sockaddr_un.sun_path (unix(7)) without the NUL.
const maxSocket = 107

func (p *parser) socket(n *yaml.Node, what string) string {
	s, ok := p.absolute(n, what)
	if ok && len(s) > maxSocket {
		p.fail(n, "%s: %q is longer than the %d bytes that a unix socket's path can have", what, clip(s), maxSocket)
	}
	return s
}
