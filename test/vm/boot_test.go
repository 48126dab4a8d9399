//go:build vmboot

package vm

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests boot guests from the host, to prove what the harness says about
// them. They have a tag of their own because they take half a minute and install
// QEMU when it is missing: go test -tags vmboot ./test/vm

// start runs a command in a guest and returns what Run does with its output.
func start(t *testing.T, cfg Config, command ...string) (code int, stdout, stderr string, err error) {
	t.Helper()
	var out, errOut strings.Builder
	cfg.Command, cfg.Stdout, cfg.Stderr = command, &out, &errOut
	code, err = Run(context.Background(), cfg)
	return code, out.String(), errOut.String(), err
}

func TestRunReturnsOutputAndExitCode(t *testing.T) {
	cfg := Config{Env: []string{"GREETING=hello"}, Append: []string{"beesting.word=x"}}
	code, out, errOut, err := start(t, cfg, "sh", "-c", "echo $GREETING; grep -c beesting.word=x /proc/cmdline; echo no >&2; exit 7")
	must(t, err)
	if code != 7 || out != "hello\n1\n" || errOut != "no\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, out, errOut)
	}
	// Kernel messages, and more bytes than any buffer on the way holds.
	code, out, _, err = start(t, Config{}, "sh", "-c", "for i in 1 2 3 4; do echo '<0>noise' > /dev/kmsg; head -c 250000 /dev/zero | tr '\\0' x; done; kill -9 $$")
	must(t, err)
	if code != 128+9 || out != strings.Repeat("x", 1000000) {
		t.Errorf("code %d, %d bytes", code, len(out))
	}
}

// TestProcessorsTakeTurns: a guest with several has them all at work, also while
// its text is patched.
func TestProcessorsTakeTurns(t *testing.T) {
	script := `cat /sys/devices/system/cpu/online
for c in 0 1 2 3; do taskset $((1 << c)) sh -c 'cut -d" " -f39 /proc/self/stat' & done; wait
cd /sys/kernel/tracing; for i in 1 2 3 4 5; do echo "p:x$i do_sys_openat2" >> kprobe_events; echo 1 > events/kprobes/enable; echo 0 > events/kprobes/enable; done; echo patched`
	code, out, errOut, err := start(t, Config{CPUs: 4}, "sh", "-c", script)
	must(t, err)
	for _, want := range []string{"0-3\n", "\n1\n", "\n2\n", "\n3\n", "patched\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q", want, out)
		}
	}
	if code != 0 {
		t.Errorf("code %d: %s", code, errOut)
	}
	for _, cfg := range []Config{{CPUs: -1}, {CPUs: maxCPUs + 1}, {CPUs: 2, ICount: true}} {
		if _, _, _, err := start(t, cfg, "true"); err == nil || !strings.Contains(err.Error(), "processors") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestRunTellsHowAGuestDied(t *testing.T) {
	tests := map[string]struct {
		script string
		want   []string
	}{
		"panic": {"echo c > /proc/sysrq-trigger; sleep 60", []string{"panicked", "sysrq triggered crash"}},
		"hang":  {"echo '<0>last words' > /dev/kmsg; sleep 60", []string{"time limit of 20s", "last words"}},
		"off":   {"poweroff -f; sleep 60", []string{"guest died"}},
		"init":  {"kill -9 $PPID; sleep 60", []string{"job runner ended"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, _, err := start(t, Config{Timeout: 20 * time.Second}, "sh", "-c", tt.script)
			for _, want := range append(tt.want, "in command 1 of 1") {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("want %q in the error, got %v", want, err)
				}
			}
		})
	}
	if _, _, _, err := start(t, Config{}, "/no/such/program"); err == nil || !strings.Contains(err.Error(), "/no/such/program") {
		t.Errorf("a command that is not there: %v", err)
	}
	if _, _, _, err := start(t, Config{Append: []string{"rdinit=/none", "root=/dev/none"}}, "true"); err == nil || !strings.Contains(err.Error(), "before its first command") {
		t.Errorf("no init: %v", err)
	}
}

func TestRunOnADisk(t *testing.T) {
	box, err := busybox(context.Background(), os.Stderr)
	must(t, err)
	root := t.TempDir()
	must(t, os.Mkdir(filepath.Join(root, "bin"), 0o755))
	raw, err := os.ReadFile(box)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "bin", "busybox"), raw, 0o755))
	host := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(host, []byte("injected"), 0o644))
	cfg := Config{Disk: root, Files: map[string]string{"/opt/f": host}, Filesystems: []string{"xfs"}}
	code, out, errOut, err := start(t, cfg, "/bin/busybox", "sh", "-c",
		"set -e; B=/bin/busybox; $B cat /opt/f; $B touch /written; $B grep -c ' / ext4 ' /proc/mounts; $B modprobe loop")
	must(t, err)
	if code != 0 || out != "injected1\n" {
		t.Errorf("code %d, stdout %q, stderr %q", code, out, errOut)
	}
}

func TestGuestReachesTheHost(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "from the host")
			c.Close()
		}
	}()
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	_, out, errOut, err := start(t, Config{Net: true}, "sh", "-c", "nc 10.0.2.2 "+port+" < /dev/null")
	must(t, err)
	if out != "from the host\n" {
		t.Errorf("stdout %q, stderr %q", out, errOut)
	}
}

func TestICountRepeatsToTheInstruction(t *testing.T) {
	// Under -icount the clock counts instructions, so a guest that does the same
	// takes the same time, which no real clock would show.
	var seen []string
	for range 2 {
		_, out, _, err := start(t, Config{ICount: true, MemoryMiB: 256}, "sh", "-c", "cat /proc/uptime")
		must(t, err)
		seen = append(seen, strings.Fields(out)[0])
	}
	if seen[0] != seen[1] {
		t.Errorf("uptime %s and %s", seen[0], seen[1])
	}
}

func TestLockdownIsHandedOn(t *testing.T) {
	_, out, _, err := start(t, Config{Append: []string{"lockdown=confidentiality"}}, "cat", "/sys/kernel/security/lockdown")
	must(t, err)
	if !strings.Contains(out, "[confidentiality]") {
		t.Errorf("got %q", out)
	}
}
