//go:build vmtest && linux

package main

// What stays when a command ends, and how it is removed.

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// bpffs mounts one.
func bpffs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=700"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func uninstalled(t *testing.T, args ...string) leftovers {
	t.Helper()
	out, err := exec.Command("beesting", append([]string{"uninstall", "--json"}, args...)...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var l leftovers
	if err := json.Unmarshal(out, &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// before515 says that links of perf events can't be pinned.
func before515(t *testing.T) bool {
	t.Helper()
	major, minor := kernel(t)
	return major < 5 || major == 5 && minor < 15
}

// testNotPinned wants the files watched all the same, and that said.
func testNotPinned(t *testing.T, mode string) {
	pin, file := filepath.Join(bpffs(t), "pin"), token(t, "t")
	c := start(t, "watch", "--output", "json", "--pin", pin, file)
	if got := line(t, c.stderr); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "not pinned: ") || !strings.Contains(got, "mode="+mode) {
		t.Errorf("standard error %q", got)
	}
	if got, want := line(t, c.stderr), "watching 1 files ("+mode+")\n"; got != want {
		t.Fatalf("standard error %q, want %q", got, want)
	}
	read(t, file)
	if got := line(t, c.stdout); !strings.Contains(got, `"honeytoken.access.kind":"open"`) {
		t.Errorf("access: %q", got)
	}
	c.finish(t, syscall.SIGTERM)
	if _, err := os.Lstat(pin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}

func TestPinned(t *testing.T) {
	works, _ := modes(t)
	for _, mode := range works {
		if mode == "fanotify" {
			continue // which goes with the process
		}
		t.Run(mode, func(t *testing.T) {
			if mode == "kprobe" && before515(t) {
				testNotPinned(t, mode)
				return
			}
			pin, file := filepath.Join(bpffs(t), "pin"), token(t, "t")
			args := []string{"watch", "--output", "json", "--mode", mode, "--pin", pin, file}
			watching := func() *command {
				t.Helper()
				c := start(t, args...)
				if got, want := line(t, c.stderr), "watching 1 files ("+mode+")\n"; got != want {
					t.Fatalf("standard error %q, want %q", got, want)
				}
				return c
			}
			c := watching()
			if _, errs := c.finish(t, syscall.SIGTERM); !strings.Contains(errs, "  pinned at "+pin+": ") {
				t.Errorf("standard error %q", errs)
			}
			read(t, file) // and nobody is there

			if l := uninstalled(t, "--dry-run", "--pin", pin); !l.Pinned.Found || l.Pinned.Removed || len(l.Pinned.Names) < 5 || len(l.Running) > 0 {
				t.Errorf("dry run: %+v", l)
			}
			c = watching()
			if got := line(t, c.stdout); !strings.Contains(got, `"honeytoken.access.kind":"open"`) {
				t.Errorf("access while nobody was there: %q", got)
			}
			out, err := exec.Command("beesting", "uninstall", "--pin", pin).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || !strings.Contains(string(out), "beesting: an agent is running: it holds "+pin) {
				t.Errorf("while it runs: %v: %s", err, out)
			}
			c.finish(t, syscall.SIGTERM)

			if l := uninstalled(t, "--pin", pin); !l.Pinned.Removed {
				t.Errorf("not removed: %+v", l)
			}
			if _, err := os.Lstat(pin); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("left: %v", err)
			}
			if l := uninstalled(t, "--pin", pin); l.Pinned.Found || l.Pinned.Removed {
				t.Errorf("again: %+v", l)
			}
		})
	}
}

// A second command over the same programs would take the first one's events.
// Where nothing can be pinned each has its own, and both are told.
func TestPinnedTwice(t *testing.T) {
	if works, _ := modes(t); !slices.ContainsFunc(works, func(mode string) bool {
		return mode != "fanotify" && (mode != "kprobe" || !before515(t))
	}) {
		pin, file := filepath.Join(bpffs(t), "pin"), token(t, "t")
		both := []*command{}
		for range 2 {
			c := start(t, "watch", "--output", "json", "--pin", pin, file)
			if got := line(t, c.stderr); !strings.Contains(got, "not pinned: ") {
				t.Fatalf("standard error %q", got)
			}
			if got := line(t, c.stderr); !strings.HasPrefix(got, "watching 1 files (") {
				t.Fatalf("standard error %q", got)
			}
			both = append(both, c)
		}
		read(t, file)
		for _, c := range both {
			// What the second command did to find the file, the first one tells too.
			got := line(t, c.stdout)
			for strings.Contains(got, `"process.executable.name":"beesting"`) {
				got = line(t, c.stdout)
			}
			if !strings.Contains(got, `"honeytoken.access.kind":"open"`) {
				t.Errorf("access: %q", got)
			}
			c.finish(t, syscall.SIGTERM)
		}
		return
	}
	pin, file := filepath.Join(bpffs(t), "pin"), token(t, "t")
	c := start(t, "watch", "--pin", pin, file)
	if !strings.HasPrefix(line(t, c.stderr), "watching 1 files (") {
		t.Fatal("not armed")
	}
	fails(t, exec.Command("beesting", "watch", "--pin", pin, file), "pin directory: lock "+pin+": in use by another agent")
	c.finish(t, syscall.SIGTERM)
	uninstalled(t, "--pin", pin)
}
