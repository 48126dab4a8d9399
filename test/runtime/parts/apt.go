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
	cmd.Stdout, cmd.Stderr = NewLines(m.log), &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("packages %s: %w\n%s", strings.Join(packages, ", "), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}
