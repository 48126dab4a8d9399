//go:build vmtest && linux

package live

// A fake container: this test program again, in namespaces of its own, on an
// overlay as its root. What a runtime would do is done by containerMain.

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/proc"
)

const shift = 100000 // of ids in a user namespace

type config struct {
	Root     string
	ReadOnly bool // the mount
	Frozen   bool // the file system
	Shared   bool
	UserNS   bool
}

// TestMain lets the test program be a container's first process.
func TestMain(m *testing.M) {
	if text := os.Getenv("BEESTING_CONTAINER"); text != "" {
		if err := containerMain(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// As systemd does: what containers mount could reach the host.
	if err := unix.Mount("", "/", "", unix.MS_SHARED|unix.MS_REC, ""); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func containerMain(text string) error {
	var c config
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return err
	}
	vol := filepath.Join(filepath.Dir(c.Root), "volume")
	steps := []func() error{
		func() error { return unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, "") },
		func() error { return unix.Mount(c.Root, c.Root, "", unix.MS_BIND, "") },
		func() error { return unix.Mount(vol, c.Root+"/vol", "", unix.MS_BIND, "") },
		func() error { return unix.Mount(vol+"/hosts", c.Root+"/etc/hosts", "", unix.MS_BIND, "") },
		func() error { return unix.Mount("tmpfs", c.Root+"/run", "tmpfs", 0, "") },
		func() error { return unix.Mount("proc", c.Root+"/proc", "proc", 0, "") },
		func() error { return unix.Chdir(c.Root) },
		enterRoot,
		func() error {
			if c.Shared {
				return unix.Mount("", "/", "", unix.MS_SHARED, "")
			}
			if c.ReadOnly {
				return unix.Mount("", "/", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
			}
			return nil
		},
	}
	for i, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("step %d of the container: %w", i, err)
		}
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode([]string{"ready", ""}); err != nil {
		return err
	}
	for in := json.NewDecoder(os.Stdin); ; {
		var command []string
		if err := in.Decode(&command); err != nil {
			return nil //nolint:nilerr // the test has ended
		}
		reply, err := obey(command)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if err := out.Encode([]string{reply, text}); err != nil {
			return err
		}
	}
}

// enterRoot makes the working directory the root. The initramfs of the VM can't be
// pivoted away from.
func enterRoot() error {
	err := unix.PivotRoot(".", ".")
	if err == nil {
		err = unix.Unmount(".", unix.MNT_DETACH)
	} else if errors.Is(err, unix.EINVAL) {
		if err = unix.Mount(".", "/", "", unix.MS_MOVE, ""); err == nil {
			err = unix.Chroot(".")
		}
	}
	if err != nil {
		return err
	}
	return unix.Chdir("/")
}

func obey(c []string) (string, error) {
	switch c[0] {
	case "read":
		b, err := os.ReadFile(c[1])
		return string(b), err
	case "write":
		return "", os.WriteFile(c[1], []byte("x"), 0o644)
	case "umount":
		return "", unix.Unmount(c[1], 0)
	case "bind":
		return "", unix.Mount(c[1], c[2], "", unix.MS_BIND, "")
	case "remove":
		return "", os.Remove(c[1])
	default:
		return "", fmt.Errorf("command %q", c)
	}
}

type container struct {
	t *testing.T
	Process
	base string // on the host; beside the root there is what must stay as it is
	cmd  *exec.Cmd
	in   *json.Encoder
	out  *json.Decoder
}

// image is what the lower layer has; content after a blank, links with "->".
var imageRows = []string{
	"etc/", "etc/passwd users", "etc/hosts ", "etc/empty ", "root/", "home/user/", "tmp/", "run/", "proc/", "vol/", "var/",
	"var/run -> /run", "link -> /etc/passwd", "dangling -> /none/there", "loop -> loop", "up -> ../../../../../etc",
	"out -> @/outside", "self -> /proc/self/cwd", "tovol -> vol", "race/",
}

func makeImage(t *testing.T, base, dir string, owner int) {
	t.Helper()
	for _, row := range imageRows {
		row = strings.ReplaceAll(row, "@", base)
		name, target, link := strings.Cut(row, " -> ")
		name, content, file := strings.Cut(name, " ")
		name = filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		switch {
		case err != nil:
		case link:
			err = os.Symlink(target, name)
		case file:
			err = os.WriteFile(name, []byte(content), 0o644)
		default:
			err = os.MkdirAll(name, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(name, owner, owner))
	})
	if err := errors.Join(err, os.Chown(dir+"/home/user", owner+1000, owner+1001)); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, c config) *container {
	t.Helper()
	base, err := os.MkdirTemp("/tmp", "live") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	owner := 0
	if c.UserNS {
		owner = shift
	}
	for _, dir := range []string{"", "merged", "lower", "lower2", "upper", "work", "volume", "outside"} {
		name := filepath.Join(base, dir)
		if err := errors.Join(os.MkdirAll(name, 0o755), os.Chmod(name, 0o755), os.Chown(name, owner, owner)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(base+"/volume/hosts", []byte("hosts"), 0o644); err != nil {
		t.Fatal(err)
	}
	makeImage(t, base, base+"/lower", owner)
	options := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", base, base, base)
	if c.Frozen {
		options = fmt.Sprintf("lowerdir=%s/lower2:%s/lower", base, base)
	}
	c.Root = base + "/merged"
	if err := unix.Mount("overlay", c.Root, "overlay", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(c.Root, unix.MNT_DETACH) })
	return run(t, base, c)
}

func run(t *testing.T, base string, c config) *container {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = []string{"BEESTING_CONTAINER=" + string(text)}
	cmd.Stderr = os.Stderr
	// No Pdeathsig: it is sent when the thread ends that has started the process,
	// and these tests end threads.
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID}
	if c.UserNS {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: shift, Size: 65536}}
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
		cmd.SysProcAttr.Credential = &syscall.Credential{}
		cmd.SysProcAttr.GidMappingsEnableSetgroups = true
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	k := &container{t: t, base: base, cmd: cmd, in: json.NewEncoder(in), out: json.NewDecoder(bufio.NewReader(io.Reader(out)))}
	if reply, err := k.reply(); err != nil || reply != "ready" {
		t.Fatalf("container: %q, %v", reply, err)
	}
	ticks, err := proc.FS("/proc").StartTicks(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	k.Process = Process{PID: cmd.Process.Pid, Start: ticks, ProcRoot: "/proc"}
	return k
}

func (k *container) reply() (string, error) {
	var r []string
	if err := k.out.Decode(&r); err != nil || len(r) != 2 {
		return "", fmt.Errorf("no reply: %w", err)
	}
	if r[1] != "" {
		return r[0], errors.New(r[1])
	}
	return r[0], nil
}

// do has the container do something.
func (k *container) do(command ...string) (string, error) {
	k.t.Helper()
	if err := k.in.Encode(command); err != nil {
		k.t.Fatal(err)
	}
	return k.reply()
}

// state is what must be the same afterwards: the container's mounts, the host's,
// and all files on the host but those of the container itself.
func (k *container) state() map[string]string {
	k.t.Helper()
	s := map[string]string{}
	for _, name := range []string{k.path("mountinfo"), "/proc/self/mountinfo"} {
		b, err := os.ReadFile(name)
		if err != nil {
			k.t.Fatal(err)
		}
		s[name] = string(b)
	}
	maps.Copy(s, k.files("outside"))
	maps.Copy(s, k.files("volume"))
	maps.Copy(s, k.files("lower"))
	maps.Copy(s, k.files("merged"))
	return s
}

func (k *container) files(dir string) map[string]string {
	k.t.Helper()
	s := map[string]string{}
	err := filepath.WalkDir(filepath.Join(k.base, dir), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		st, _ := fi.Sys().(*syscall.Stat_t)
		s[name] = fmt.Sprintf("%v %d:%d", fi.Mode(), st.Uid, st.Gid)
		return nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return s
}

// same compares with an earlier state.
func (k *container) same(before map[string]string) {
	k.t.Helper()
	after := k.state()
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if before[name] != after[name] {
			k.t.Errorf("%.300q:\n%s\nwas\n%s", name, after[name], before[name])
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			k.t.Errorf("%.300q is gone", name)
		}
	}
}
