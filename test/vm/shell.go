package vm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Shell boots a kernel and connects this process's terminal to a shell in it.
// Only the fields of cfg that describe the guest are used. It returns when the
// shell ends, the guest is switched off, or Ctrl-A X is typed.
func Shell(ctx context.Context, cfg Config) error {
	cfg = withDefaults(cfg)
	tmp, err := os.MkdirTemp("", "beesting-vm-")
	if err != nil {
		return fmt.Errorf("vm: %w", err)
	}
	defer os.RemoveAll(tmp)
	m, err := prepare(ctx, cfg, tmp, nil)
	if err != nil {
		return fmt.Errorf("vm %s: %w", cfg.Kernel, err)
	}
	fmt.Fprintf(cfg.Progress, "vm: %s; leave with `exit`, or kill the machine with Ctrl-A X\n", m.kernel.Release)
	// A multiplexed stdio puts the terminal into raw mode and hands Ctrl-C to
	// the guest; QEMU restores the terminal when it ends.
	cmd := exec.CommandContext(ctx, m.qemu, append(m.args(cfg),
		"-chardev", "stdio,id=console,mux=on,signal=off", "-serial", "chardev:console")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("vm %s: QEMU: %w", m.kernel.Release, err)
	}
	return nil
}
