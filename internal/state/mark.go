package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Mark notes that the tokens are being watched, so that a later agent can tell
// for how long they weren't. boot is the time since the start of the boot that
// bootID names, suspended time included.
func (d *Dir) Mark(bootID string, boot time.Duration) error {
	text := fmt.Sprintf("%s %d\n", bootID, boot.Nanoseconds())
	if err := d.write(filepath.Join(d.path, "watched"), []byte(text), fileMode{mode: 0o600}); err != nil {
		return fmt.Errorf("mark of the last watch: %w", err)
	}
	return nil
}

// Marked returns when, in the boot that bootID names, the tokens were last
// watched. It returns false if they weren't in this boot, or nobody knows:
// containers of an earlier boot don't run any more.
func (d *Dir) Marked(bootID string) (boot time.Duration, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(d.path, "watched"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("mark of the last watch: %w", err)
	}
	id, ns, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	n, err := strconv.ParseInt(ns, 10, 64)
	if err != nil || n < 0 {
		return 0, false, fmt.Errorf("mark of the last watch: %q makes no sense", clip(text))
	}
	return time.Duration(n), id == bootID, nil
}

// clip keeps quoted content short.
func clip(b []byte) []byte { return b[:min(len(b), 80)] }
