package content

import (
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// checkValue refuses what would break out of its place in a format. A value of
// one line is printable; a PEM value is a key or a certificate.
func checkValue(v string, isPEM bool) error {
	switch {
	case v == "":
		return errors.New("is empty")
	case len(v) > maxValue:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(v), maxValue)
	case isPEM:
		if block, _ := pem.Decode([]byte(v)); block == nil {
			return errors.New("is not PEM (-----BEGIN …)")
		}
		return nil
	}
	for _, r := range v {
		if !strconv.IsPrint(r) {
			return fmt.Errorf("must be one line of printable text, has %q", r)
		}
	}
	if strings.TrimSpace(v) != v {
		return errors.New("must not begin or end with a space")
	}
	return nil
}

// noneOf refuses characters that a format has no way to write.
func noneOf(name, v, chars string) error {
	if at := strings.IndexAny(v, chars); at >= 0 {
		return fmt.Errorf("values: %s: the format has no way to write %q", name, v[at])
	}
	return nil
}

// withNewline ends a PEM value as files end.
func withNewline(s string) string {
	if strings.HasSuffix(s, "\n") {
		return s
	}
	return s + "\n"
}
