package parts

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Install installs the Debian packages that are missing; it needs root only if
// some are. The script is the same that the Makefile uses.
func (m *Maker) Install(ctx context.Context, packages ...string) error {
	cmd := exec.CommandContext(ctx, "hack/install-deps.sh", packages...)
	cmd.Dir = m.module
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	w := &lines{log: m.log}
	cmd.Stdout, cmd.Stderr = w, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("packages %s: %w\n%s", strings.Join(packages, ", "), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

// lines passes whole lines on to log.
type lines struct {
	log     func(string)
	partial []byte
}

// Write implements io.Writer.
func (l *lines) Write(b []byte) (int, error) {
	l.partial = append(l.partial, b...)
	for {
		line, rest, ok := bytes.Cut(l.partial, []byte{'\n'})
		if !ok {
			return len(b), nil
		}
		l.log(strings.TrimSpace(string(line)))
		l.partial = append([]byte(nil), rest...)
	}
}
