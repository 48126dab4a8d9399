package collectorreceiver

import (
	"errors"
	"fmt"
	"strings"
)

const (
	// maxMistakes bounds what one bad configuration makes the Collector print.
	maxMistakes = 20
	// maxMistakeText bounds one of them in bytes: some rules, those of Kubernetes'
	// labels, quote a value in full.
	maxMistakeText = 500
)

// mistakes collects what is wrong with a configuration.
type mistakes struct {
	errs []error
	more int
}

// add notes err, if there is one, under the key it is about.
func (m *mistakes) add(key string, err error) {
	switch {
	case err == nil:
	case len(m.errs) == maxMistakes:
		m.more++
	default:
		m.errs = append(m.errs, mistake{key: key, err: err})
	}
}

// count is how many there are.
func (m *mistakes) count() int { return len(m.errs) + m.more }

func (m *mistakes) err() error {
	if m.more > 0 {
		return errors.Join(append(m.errs, fmt.Errorf("and %d more mistakes", m.more))...)
	}
	return errors.Join(m.errs...)
}

// mistake is one wrong value. It is printed on one line whatever was quoted.
type mistake struct {
	key string
	err error
}

func (m mistake) Error() string {
	text := strings.ReplaceAll(m.err.Error(), "\n", "; ")
	if len(text) > maxMistakeText {
		text = strings.ToValidUTF8(text[:maxMistakeText], "") + "…"
	}
	return m.key + ": " + text
}

func (m mistake) Unwrap() error { return m.err }
