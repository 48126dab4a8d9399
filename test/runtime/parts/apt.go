package parts

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// Install installs the Debian packages that are missing; it needs root only if
// some are. The script is the same that the Makefile uses.
func (m *Maker) Install(ctx context.Context, packages ...string) error {
	cmd := exec.CommandContext(ctx, "hack/install-deps.sh", packages...)
	cmd.Dir = m.module
	cmd.WaitDelay = waitDelay
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = NewLines(func(s string) { m.log(strings.TrimSpace(s)) }), &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("packages %s: %w\n%s", strings.Join(packages, ", "), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
