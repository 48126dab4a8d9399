package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// container is a root with a token, and beside it a file of the same name.
func containerRoot(t *testing.T) (root string, token *os.File) {
	t.Helper()
	root = t.TempDir()
	for _, dir := range []string{"run/secrets", "var", "home/user", "tmp"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"run/secrets/token", "tmp/token"} {
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"var/run": "/run", "home/user/up": "../../run/secrets", "home/chain": "/var/run/secrets/token"} {
		if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	token, err := os.Open(filepath.Join(root, "run/secrets/token"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = token.Close() })
	return root, token
}

// inRoot makes a process with a root and a mount namespace.
func (p procTree) inRoot(t *testing.T, pid int, start int, root, ns string) {
	t.Helper()
	p.process(t, pid, "ln", start, "0::/\n")
	if err := os.MkdirAll(filepath.Join(p.dir, itoa(pid), "ns"), 0o755); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"root": root, "ns/mnt": ns} {
		if err := os.Symlink(target, filepath.Join(p.dir, itoa(pid), link)); err != nil {
			t.Fatal(err)
		}
	}
}

func linkEvent(target, dir string) bpf.Event {
	e := event(0)
	e.Kind, e.Detail, e.Cwd = bpf.KindSymlink, target, dir
	return e
}

func TestSymlinkToToken(t *testing.T) {
	root, token := containerRoot(t)
	for name, c := range map[string]struct {
		target, dir string
		want        bool
	}{
		"absolute":                {"/run/secrets/token", "/home/user", true},
		"through a link":          {"/var/run/secrets/token", "/home/user", true},
		"relative":                {"../../run/secrets/token", "/home/user", true},
		"relative, not text":      {"up/token", "/home/user", true}, // up leads to ../../run/secrets
		"through a chain":         {"/home/chain", "/tmp", true},
		"above the root":          {"../../../../../run/secrets/token", "/tmp", true},
		"another of that name":    {"token", "/tmp", false},
		"nothing":                 {"/etc/token", "/tmp", false},
		"relative to a directory": {"run/secrets/token", "/", true},
	} {
		f := newFixture(t)
		f.proc.inRoot(t, 40, 8000, root, "mnt:[15]")
		if err := f.core.Arm(placement(1), token); err != nil {
			t.Fatal(err)
		}
		take(t, f, linkEvent(c.target, c.dir))
		s, err := f.core.Stats()
		if err != nil || s.UnresolvedSymlinks != 0 {
			t.Errorf("%s: stats %+v, %v", name, s, err)
		}
		if !c.want {
			if len(f.sink.got) != 0 || s.OtherSymlinks != 1 {
				t.Errorf("%s: %+v, %+v", name, f.sink.got, s)
			}
			continue
		}
		if len(f.sink.got) != 1 {
			t.Errorf("%s: not told", name)
			continue
		}
		a := f.sink.got[0]
		if a.Kind != beesting.AccessSymlink || a.Detail != c.target || a.Placement.TokenID != "canary" || a.Count != 1 || a.Ongoing {
			t.Errorf("%s: %+v", name, a)
		}
		// The kernel has not counted it, so neither do the books.
		if got := f.core.book.Account(1); got != (bpf.Account{}) {
			t.Errorf("%s: account %+v", name, got)
		}
	}
}

// `ln` is gone before anybody can ask: its parent sees the same files.
func TestSymlinkOfAProcessThatIsGone(t *testing.T) {
	root, token := containerRoot(t)
	f := newFixture(t)
	if err := f.core.Arm(placement(1), token); err != nil {
		t.Fatal(err)
	}
	e := linkEvent("/run/secrets/token", "/tmp")
	f.proc.inRoot(t, 1, 1, "/", "mnt:[1]")
	take(t, f, e)
	if s, err := f.core.Stats(); err != nil || s.UnresolvedSymlinks != 1 || len(f.sink.got) != 0 {
		t.Fatalf("with nobody in its namespace: %+v, %v", s, err)
	}
	f.proc.inRoot(t, 39, 7001, root, "mnt:[15]") // another process by now
	take(t, f, e)
	if len(f.sink.got) != 0 {
		t.Fatal("by a pid that was reused")
	}
	f.proc.inRoot(t, 38, 6000, root, "mnt:[15]")
	take(t, f, e)
	if len(f.sink.got) != 1 {
		t.Error("not by its ancestor")
	}
}

func TestSymlinkWithoutEnd(t *testing.T) {
	f := newFixture(t)
	for _, e := range []bpf.Event{linkEvent("", "/"), linkEvent("token", ""), {Kind: bpf.KindSymlink, Detail: strings.Repeat("a", 255), DetailTruncated: true}} {
		take(t, f, e)
	}
	if s, err := f.core.Stats(); err != nil || s.UnresolvedSymlinks != 3 || len(f.sink.got) != 0 {
		t.Errorf("stats %+v, %v", s, err)
	}
}

// A FIFO in place of /proc/PID/stat stands for what never answers.
func TestStuckSymlinkDelaysNothing(t *testing.T) {
	f := newFixture(t)
	f.proc.process(t, 40, "ln", 8000, "0::/\n")
	stat := filepath.Join(f.proc.dir, "40", "stat")
	if err := errors.Join(os.Remove(stat), syscall.Mkfifo(stat, 0o600)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 20 {
		take(t, f, linkEvent("/token", "/"))
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("20 links took %v", took)
	}
	until(t, "all gone", func() bool {
		w, err := os.OpenFile(stat, os.O_RDWR, 0) // lets the stuck ones open it
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Close() // and read to its end
		return len(f.core.lookups.places) == 0
	})
}

// A container that keeps look-ups waiting, or is slow in each, takes up its own
// time and leaves the others theirs.
func TestStuckSymlinkIsItsContainersOwn(t *testing.T) {
	root, token := containerRoot(t)
	f := newFixture(t)
	if err := f.core.Arm(placement(1), token); err != nil {
		t.Fatal(err)
	}
	f.core.AddContainer(&beesting.Container{ID: "stuck"})
	f.core.AddContainer(&beesting.Container{ID: "other"})
	f.proc.process(t, 40, "ln", 8000, "0::/stuck\n")
	f.proc.process(t, 39, "ln", 7000, "0::/other\n")
	f.proc.inRoot(t, 39, 7000, root, "mnt:[15]")
	f.proc.write(t, "39/cgroup", "0::/other\n")
	stuck, other := linkEvent("/run/secrets/token", "/"), linkEvent("/run/secrets/token", "/")
	other.PID, other.StartTime = 39, 70*time.Second

	turn := f.core.turnOf(stuck)
	release := make(chan struct{})
	for range 100 {
		_, err := turn.take(f.core.lookups, func() (inode, error) { <-release; return inode{}, nil })
		if !errors.Is(err, errNoLook) && !errors.Is(err, errNoTurn) {
			t.Fatal(err)
		}
	}
	if n := len(f.core.lookups.places); n != 1 {
		t.Errorf("one container has %d places", n)
	}
	if f.core.turnOf(other) == turn {
		t.Fatal("two containers have one turn")
	}
	take(t, f, other)
	if len(f.sink.got) != 1 {
		t.Error("the other container's link is not told")
	}
	close(release)
	until(t, "the end of the look-up", func() bool { return len(f.core.lookups.places) == 0 && !turn.busy.Load() })

	turn.from, turn.used = f.core.clock.Now(), 0
	asked := 0
	for range 20 { // each slow, and none too slow
		_, _ = turn.take(f.core.lookups, func() (inode, error) { asked++; time.Sleep(20 * time.Millisecond); return inode{}, nil })
	}
	if asked == 0 || asked > 6 {
		t.Errorf("%d slow look-ups in a turn", asked)
	}
}
