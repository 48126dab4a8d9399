//go:build vmtest && linux

package live

// What needs root and mounts of its own: `make test-vm` runs these in a VM for
// each kernel.

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/proc"
)

const secret = "the token"

// token is a file of the host.
func token(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "token"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if _, err := f.WriteString(secret); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLive(t *testing.T) {
	if !modern(t) {
		testOldKernel(t)
		return
	}
	forms := map[string]config{
		"plain": {}, "read-only": {ReadOnly: true}, "user namespace": {UserNS: true},
		"read-only in a user namespace": {ReadOnly: true, UserNS: true},
	}
	for name, c := range forms {
		t.Run(name, func(t *testing.T) {
			k := start(t, c)
			t.Run("round trip", func(t *testing.T) { k.t = t; testRoundTrip(k, c) })
			t.Run("refusals", func(t *testing.T) { k.t = t; testRefusals(k) })
			t.Run("names", func(t *testing.T) { k.t = t; testNames(k) })
			t.Run("in the way", func(t *testing.T) { k.t = t; testInTheWay(k) })
		})
	}
	t.Run("frozen", func(t *testing.T) { refused(start(t, config{Frozen: true}), "/root/x", ErrReadOnly) })
	t.Run("shared", func(t *testing.T) { refused(start(t, config{Shared: true}), "/root/x", ErrShared) })
	t.Run("detach", testDetach)
	t.Run("gone", testGone)
	t.Run("race", testRace)
	t.Run("threads", testThreads)
}

// modern tells whether the kernel is to have all that is needed.
func modern(t *testing.T) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	return major > 5 || major == 5 && minor >= 12
}

func testOldKernel(t *testing.T) {
	k := start(t, config{})
	refused(k, "/root/x", errors.ErrUnsupported)
	if _, _, err := HostIDs(k.Process, 1, 2); err != nil {
		t.Error(err)
	}
}

// refused wants an error that changes nothing.
func refused(k *container, path string, want ...error) {
	k.t.Helper()
	before := k.state()
	a, err := Attach(k.Process, token(k.t), path, Options{})
	for _, w := range want {
		if !errors.Is(err, w) {
			k.t.Errorf("%.60q: %v; want %v", path, err, w)
		}
	}
	if err == nil || len(a.Made) > 0 {
		k.t.Errorf("%.60q: %v, %v", path, a, err)
	}
	k.same(before)
}

func attached(k *container, path string, o Options) Attached {
	k.t.Helper()
	a, err := Attach(k.Process, token(k.t), path, o)
	if err != nil {
		k.t.Fatal(err)
	}
	if got, err := k.do("read", path); err != nil || got != secret {
		k.t.Fatalf("%.60q in the container: %q, %v", path, got, err)
	}
	return a
}

func detach(k *container, path string, a Attached) {
	k.t.Helper()
	if err := Detach(k.Process, path, a); err != nil {
		k.t.Error(err)
	}
}

func testRoundTrip(k *container, c config) {
	t := k.t
	base := uint32(0)
	if c.UserNS {
		base = shift
	}
	if uid, gid, err := HostIDs(k.Process, 1000, 7); err != nil || uid != base+1000 || gid != base+7 {
		t.Errorf("ids %d, %d, %v", uid, gid, err)
	}
	if _, _, err := HostIDs(k.Process, 1000, 70000); errors.Is(err, ErrUnmapped) != c.UserNS {
		t.Errorf("id out of range: %v", err)
	}
	before := k.state()
	for path, owner := range map[string][2]uint32{
		"/root/.aws/credentials":  {base, base},
		"/home/user/.a/.b/.c/key": {base + 1000, base + 1001},
		"/up/key":                 {base, base},
	} {
		a := attached(k, path, Options{})
		if _, err := k.do("write", path); err == nil || !strings.Contains(err.Error(), "read-only file system") {
			t.Errorf("written to: %v", err)
		}
		// The host's own view of the root has the mount point, and no more.
		var st unix.Stat_t
		real := strings.Replace(path, "/up/", "/etc/", 1)
		if err := unix.Stat(k.base+"/merged"+real, &st); err != nil || st.Size != 0 || [2]uint32{st.Uid, st.Gid} != owner || st.Mode&0o7777 != 0o644 {
			t.Errorf("mount point %+v, %v", st, err)
		}
		if err := unix.Stat(k.base+"/merged"+filepath.Dir(real), &st); err != nil || [2]uint32{st.Uid, st.Gid} != owner || st.Mode&0o7777 != 0o755 {
			t.Errorf("its directory %+v, %v", st, err)
		}
		checkMount(k, real)
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		a = Attached{}
		if err := json.Unmarshal(text, &a); err != nil {
			t.Fatal(err)
		}
		detach(k, path, a)
		k.same(before)
	}
	if _, err := k.do("write", "/file"); (err != nil) != c.ReadOnly {
		t.Errorf("root is writable: %v", err)
	}
	_, _ = k.do("remove", "/file")
}

// checkMount looks at the mount's options.
func checkMount(k *container, path string) {
	k.t.Helper()
	b, err := os.ReadFile(k.path("mountinfo"))
	if err != nil {
		k.t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if f[4] != path {
			continue
		}
		found++
		if !strings.HasPrefix(f[5], "ro,nosuid,nodev,noexec") || f[6] != "-" {
			k.t.Errorf("mount %s", line)
		}
	}
	if found != 1 {
		k.t.Errorf("%d mounts at %s in\n%s", found, path, b)
	}
}

func testRefusals(k *container) {
	for path, want := range map[string][]error{
		"/etc/passwd":    {ErrExists},
		"/etc":           {ErrExists},
		"/etc/hosts":     {ErrExists, ErrVolume},
		"/vol":           {ErrExists},
		"/link":          {ErrPath},
		"/dangling":      {ErrPath},
		"/dangling/x":    {ErrPath},
		"/loop/x":        {ErrPath},
		"/out/x":         {ErrPath},
		"/etc/passwd/x":  {ErrPath},
		"/link/x":        {ErrPath},
		"/root/../x":     {ErrPath},
		"/proc/x":        {ErrPath},
		"/self/x":        {ErrPath}, // a magic link
		"/vol/x":         {ErrVolume},
		"/vol/a/b/c":     {ErrVolume},
		"/tovol/a":       {ErrVolume},
		"/run/x":         {ErrVolume},
		"/var/run/s/x":   {ErrVolume},
		"/root/a\x00b/x": {ErrPath},
	} {
		refused(k, path, want...)
	}
	pipe, _, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	defer pipe.Close()
	if a, err := Attach(k.Process, pipe, "/root/x", Options{}); err == nil {
		k.t.Errorf("a pipe: %v", a)
	}
}

// Bytes that a path may have, up to its full length.
func testNames(k *container) {
	before := k.state()
	name := strings.Repeat("n", 250)
	long := "/root" + strings.Repeat("/"+name, 16)
	long += "/" + strings.Repeat("x", maxPath-len(long)-1)
	for _, path := range []string{"/root/a\nb/c d", "/root/\\012/\u2028", "/root/\t\"'$(x)", long} {
		detach(k, path, attached(k, path, Options{}))
	}
	// Neither JSON nor the container's replies carry these bytes.
	path := "/root/\xff\xfe/\x01"
	a, err := Attach(k.Process, token(k.t), path, Options{})
	if err != nil {
		k.t.Fatal(err)
	}
	if b, err := os.ReadFile(k.Process.path("root") + path); err != nil || string(b) != secret {
		k.t.Errorf("%q, %v", b, err)
	}
	detach(k, path, a)
	k.same(before)
	refused(k, long+"y", ErrPath)
}

func testInTheWay(k *container) {
	before := k.state()
	a := attached(k, "/etc/passwd", Options{Overwrite: true})
	if len(a.Made) != 0 {
		k.t.Errorf("made %+v", a.Made)
	}
	// Another token isn't put on top; the same one is there already.
	refused(k, "/etc/passwd", ErrExists, ErrVolume)
	detach(k, "/etc/passwd", a)
	if got, err := k.do("read", "/etc/passwd"); err != nil || got != "users" {
		k.t.Errorf("hidden file: %q, %v", got, err)
	}
	for path, o := range map[string]Options{"/etc/passwd": {Resume: true}, "/etc": {Overwrite: true}, "/link": {Overwrite: true}, "/etc/hosts": {Overwrite: true}} {
		if a, err := Attach(k.Process, token(k.t), path, o); err == nil {
			k.t.Errorf("%s: %+v", path, a)
		}
	}
	f := token(k.t)
	a, err := Attach(k.Process, f, "/root/again", Options{})
	if err != nil {
		k.t.Fatal(err)
	}
	if b, err := Attach(k.Process, f, "/root/again", Options{}); err != nil || b.Source != a.Source || len(b.Made) != 0 {
		k.t.Errorf("again: %+v, %v", b, err)
	}
	detach(k, "/root/again", a)
	k.same(before)

	// An empty file that Attach left when it was killed; on the host's side, as the
	// container's root may be read-only.
	left := k.base + "/merged/root/left"
	if err := os.WriteFile(left, nil, 0o644); err != nil {
		k.t.Fatal(err)
	}
	refused(k, "/root/left", ErrExists)
	detach(k, "/root/left", attached(k, "/root/left", Options{Resume: true}))
	k.same(before)
}

func testDetach(t *testing.T) {
	k := start(t, config{})
	before := k.state()
	a := attached(k, "/root/a/b/token", Options{})
	other := a
	other.Source.Ino++
	other.Made = nil
	if err := Detach(k.Process, "/root/a/b/token", other); !errors.Is(err, ErrNotAttached) {
		t.Errorf("another file's: %v", err)
	}
	for _, path := range []string{"/root/none/x", "/root", "/etc/passwd", "/run/x"} {
		if err := Detach(k.Process, path, Attached{Source: a.Source}); !errors.Is(err, ErrNotAttached) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// A directory that is in use stays.
	if _, err := k.do("write", "/root/a/file"); err != nil {
		t.Fatal(err)
	}
	detach(k, "/root/a/b/token", a)
	if _, err := k.do("read", "/root/a/file"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"/root/a/file", "/root/a"} {
		if _, err := k.do("remove", name); err != nil {
			t.Error(err)
		}
	}
	k.same(before)

	// What the container has put in its place is the container's.
	a = attached(k, "/root/token", Options{})
	if _, err := k.do("umount", "/root/token"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.do("bind", "/etc/passwd", "/root/token"); err != nil {
		t.Fatal(err)
	}
	if err := Detach(k.Process, "/root/token", a); !errors.Is(err, ErrNotAttached) {
		t.Errorf("another mount: %v", err)
	}
	if got, err := k.do("read", "/root/token"); err != nil || got != "users" {
		t.Errorf("the container's own mount: %q, %v", got, err)
	}
	if _, err := k.do("umount", "/root/token"); err != nil {
		t.Fatal(err)
	}
	if err := Detach(k.Process, "/root/token", a); !errors.Is(err, ErrNotAttached) {
		t.Errorf("no mount: %v", err)
	}
	k.same(before) // the mount point was ours all the same
	if err := Detach(k.Process, "/root/x", Attached{Made: []Made{{Depth: 3}, {Depth: 0}}}); !errors.Is(err, ErrPath) {
		t.Errorf("a record of another path: %v", err)
	}
}

func testGone(t *testing.T) {
	k := start(t, config{})
	all := func(p Process, want error) {
		t.Helper()
		_, err := Attach(p, token(t), "/root/x", Options{})
		if !errors.Is(err, want) {
			t.Errorf("attach: %v, want %v", err, want)
		}
		if err := Detach(p, "/root/x", Attached{}); !errors.Is(err, want) {
			t.Errorf("detach: %v, want %v", err, want)
		}
		if _, _, err := HostIDs(p, 0, 0); errors.Is(want, ErrGone) && !errors.Is(err, want) {
			t.Errorf("ids: %v, want %v", err, want)
		}
	}
	p := k.Process
	p.Start++
	all(p, ErrGone)
	if err := k.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(k.path("ns/mnt")); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("still there")
		}
	}
	all(k.Process, ErrGone) // a zombie
	_ = k.cmd.Wait()
	all(k.Process, ErrGone)

	// Processes of the host, of which nothing may be changed.
	for _, pid := range []int{1, os.Getpid()} {
		start, err := proc.FS("/proc").StartTicks(pid)
		if err != nil {
			t.Fatal(err)
		}
		all(Process{PID: pid, Start: start, ProcRoot: "/proc"}, ErrHost)
	}
}

// A directory is exchanged with another one and with links while Attach works: to a
// directory of the host, and to a volume. It is done on the host's side of the
// container's file system, as one with a read-only root can't.
func testRace(t *testing.T) {
	const rounds = 60
	for _, c := range []config{{}, {ReadOnly: true}} {
		for _, target := range []string{"OUTSIDE", "/vol", ""} {
			t.Run(fmt.Sprintf("%s, read-only %v", target, c.ReadOnly), func(t *testing.T) {
				k := start(t, c)
				race := k.base + "/merged/race/" // overlayfs renames no directory of the lower layer
				other := os.Mkdir(race+"other", 0o755)
				if target != "" {
					_ = os.Remove(race + "other")
					other = os.Symlink(strings.Replace(target, "OUTSIDE", k.base+"/outside", 1), race+"other")
				}
				if err := errors.Join(other, os.Mkdir(race+"dir", 0o755)); err != nil {
					t.Fatal(err)
				}
				before := k.state()
				stop := swap(t, race+"dir", race+"other")
				races(k, rounds)
				t.Logf("%d swaps", stop())
				for _, dir := range []string{"outside", "volume", "lower"} {
					for name, got := range k.files(dir) {
						if before[name] != got {
							t.Errorf("%s: %q, was %q", name, got, before[name])
						}
					}
				}
				after, err := os.ReadFile("/proc/self/mountinfo")
				if err != nil || string(after) != before["/proc/self/mountinfo"] {
					t.Errorf("mounts of the host: %s, %v", after, err)
				}
			})
		}
	}
}

// swap exchanges two names until it is stopped, and tells how often it did.
func swap(t *testing.T, a, b string) (stop func() int) {
	t.Helper()
	end, done := make(chan bool), make(chan int)
	go func() {
		for n := 0; ; {
			if unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE) == nil {
				n++
			}
			select {
			case <-end:
				done <- n
				return
			case <-time.After(50 * time.Microsecond): // whose end takes the CPU from who works
			}
		}
	}()
	return func() int {
		close(end)
		n := <-done
		if n < 10 {
			t.Errorf("%d swaps: no race", n)
		}
		return n
	}
}

func races(k *container, rounds int) {
	k.t.Helper()
	f := token(k.t)
	ok, kinds := 0, map[string]int{}
	for i := range rounds {
		// What Detach doesn't find, as it was moved away for good, is not in the way.
		path := fmt.Sprintf("/race/dir/sub%d/token", i)
		a, err := Attach(k.Process, f, path, Options{})
		if err == nil {
			ok++
			// Where it is now is not for sure: the container renames on.
			for range 100 {
				if err = Detach(k.Process, path, a); !errors.Is(err, ErrNotAttached) && !errors.Is(err, ErrVolume) {
					break
				}
			}
		}
		if err != nil {
			kinds[kind(err)]++
		}
	}
	k.t.Logf("%d of %d attached; %v", ok, rounds, kinds)
	if ok == 0 || kinds[ErrExists.Error()] > 0 {
		k.t.Error("none attached, or something left behind")
	}
}

func kind(err error) string {
	for _, e := range []error{ErrPath, ErrExists, ErrVolume, ErrChanged, ErrNotAttached} {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return err.Error()
}

// No thread stays in the container's namespace, and none with another user's id.
func testThreads(t *testing.T) {
	k := start(t, config{})
	for range 50 {
		detach(k, "/home/user/x/y", attached(k, "/home/user/x/y", Options{}))
	}
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		t.Fatal(err)
	}
	var left string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if left = strange(own); left == "" {
			break
		}
	}
	if left != "" {
		t.Error(left)
	}
	out, err := exec.Command("cat", "/proc/self/status").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Uid:\t0\t0\t0\t0\n") {
		t.Errorf("%s, %v", out, err)
	}
	if mask := syscall.Umask(0o22); mask == 0 {
		t.Error("file mode mask of the whole process was changed")
	}
}

// strange describes a thread that isn't where the process is; empty if all are.
func strange(own string) string {
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil || len(tasks) == 0 {
		return fmt.Sprint(tasks, err)
	}
	for _, task := range tasks {
		if ns, err := os.Readlink(task + "/ns/mnt"); err == nil && ns != own {
			return task + " is in " + ns
		}
		if b, err := os.ReadFile(task + "/status"); err == nil && !strings.Contains(string(b), "Uid:\t0\t0\t0\t0\n") {
			return task + ": " + string(b)
		}
	}
	return ""
}
