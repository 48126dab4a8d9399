package stealth

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/rootfs"
)

// tree is a directory that stands for /proc with one container, whose root is a
// directory too. Its mounts are lines of text.
type tree struct {
	t      *testing.T
	dir    string
	mounts []string
	now    time.Time
}

const (
	pid   = 7
	token = "/root/.aws/credentials"
	// The root, and a file of the kubelet's.
	rootLine = "100 1 0:50 / / rw,relatime - overlay overlay rw"
	logLine  = "101 100 254:1 /var/lib/kubelet/pods/9b1c/containers/web/0a1b2c3d /dev/termination-log rw,relatime - ext4 /dev/vda1 rw"
)

func newTree(t *testing.T) *tree {
	t.Helper()
	p := &tree{t: t, dir: t.TempDir(), mounts: []string{rootLine, logLine}, now: time.Now().Add(48 * time.Hour)}
	fields := strings.Repeat("0 ", 18)
	p.write("7/stat", "7 (web) S "+fields+"100 0\n")
	p.write("7/status", fmt.Sprintf("Name:\tweb\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", os.Getuid()))
	p.write("7/environ", "PATH=/bin\x00HOME=/root\x00")
	p.write("7/root"+token, "[default]\n")
	p.write("7/root/root/.aws/config", "[default]\n")
	p.write("locks", "1: POSIX  ADVISORY  WRITE 12 fe:01:5 0 EOF\n")
	p.link("7/ns/pid", "pid:[4026532000]")
	p.link("1/ns/pid", "pid:[4026531836]")
	if err := os.Chmod(p.file(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *tree) write(name, text string) {
	p.t.Helper()
	name = filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tree) link(name, target string) {
	p.t.Helper()
	name = filepath.Join(p.dir, name)
	_ = os.MkdirAll(filepath.Dir(name), 0o755)
	_ = os.Remove(name)
	if err := os.Symlink(target, name); err != nil {
		p.t.Fatal(err)
	}
}

// file is where the container's files are.
func (p *tree) file(name string) string { return filepath.Join(p.dir, "7/root", name) }

// mounted says that the token is a mount with this source and options.
func (p *tree) mounted(source, options string) {
	p.mounts = append(p.mounts, "140 100 254:1 "+source+" "+token+" "+options+" - ext4 /dev/vda1 rw")
}

func (p *tree) look(content bool) Report {
	p.t.Helper()
	p.write("7/mountinfo", strings.Join(p.mounts, "\n")+"\n")
	r, err := Looker{Proc: p.dir, Agent: "beesting", Content: content, Now: func() time.Time { return p.now }}.Look(pid, token)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func names(r Report) []string {
	var all []string
	for _, f := range r.Findings {
		// What depends on the test's own file system and the order in which files
		// were made.
		if f.Name != InodeOrder {
			all = append(all, f.Name)
		}
	}
	return all
}

// Each trait, on a tree that has only this one beside what a strategy has.
func TestTraits(t *testing.T) {
	const kubelet = "/var/lib/kubelet/pods/9b1c/containers/web/4e5f6a7b"
	for name, test := range map[string]struct {
		change  func(*tree)
		content bool
		want    []string
	}{
		"nothing": {change: func(*tree) {}},
		"as the kubelet's": {change: func(p *tree) { p.mounted(kubelet, "rw,relatime") },
			want: []string{Mount}},
		"the kubelet's directory alone": {change: func(p *tree) { p.mounted("/pods/9b1c/containers/web/4e5f6a7b", "rw,relatime") },
			want: []string{Mount}},
		"the default": {change: func(p *tree) {
			p.mounted("/var/lib/kubelet/plugins/kubernetes.io/pods/9b1c/containers/web/4e5f6a7b", "ro,nosuid,nodev,noexec,relatime")
		}, want: []string{Mount, SourceOwn, Options, ReadOnly}},
		"a telling name": {change: func(p *tree) { p.mounted("/var/lib/beesting/pods/9b1c/containers/web/4e5f6a7b", "rw,relatime") },
			want: []string{SourceName, SourceForm, Mount}},
		"elsewhere": {change: func(p *tree) { p.mounted(`/srv/a\040b/4e5f6a7b`, "rw,relatime") },
			want: []string{SourceForm, Mount}},
		"through a hostPath": {change: func(p *tree) {
			p.mounted(kubelet, "rw,relatime")
			p.mounts = append(p.mounts, "150 100 254:1 /var/lib/kubelet /host rw,relatime - ext4 /dev/vda1 rw")
		}, want: []string{SourceSeen, Mount}},
		"lock": {change: func(p *tree) { p.locked() }, want: []string{Lock}},
		"masked locks": {change: func(p *tree) {
			p.locked()
			p.mounts = append(p.mounts, "160 100 0:6 /null /proc/locks rw - devtmpfs udev rw")
		}},
		"fresh":       {change: func(p *tree) { p.now = time.Now() }, want: []string{Fresh}},
		"alone":       {change: func(p *tree) { _ = os.Remove(p.file("/root/.aws/config")) }, want: []string{Alone}},
		"mode":        {change: func(p *tree) { _ = os.Chmod(p.file(token), 0o644) }, want: []string{Mode}},
		"links":       {change: func(p *tree) { _ = os.Link(p.file(token), p.file("/other")) }, want: []string{Links}},
		"empty":       {change: func(p *tree) { _ = os.Truncate(p.file(token), 0) }, want: []string{Empty}},
		"environment": {change: func(p *tree) { p.write("7/environ", "A=b\x00HONEY_TOKEN=secret\x00") }, want: []string{Environment}},
		"host's pids, no agent": {change: func(p *tree) {
			p.link("7/ns/pid", "pid:[4026531836]")
		}},
		"host's pids": {change: func(p *tree) {
			p.link("7/ns/pid", "pid:[4026531836]")
			p.write("99/comm", "beesting\n")
		}, want: []string{Processes}},
		"bpf": {change: func(p *tree) {
			p.mounts = append(p.mounts, "170 100 0:30 / /sys/fs/bpf rw - bpf bpf rw")
		}, want: []string{BPF}},
		"content, not read": {change: func(p *tree) { p.refill("honeytoken") }},
		"content":           {change: func(p *tree) { p.refill("a Honeytoken") }, content: true, want: []string{Content}},
		"example":           {change: func(p *tree) { p.refill("AKIAIOSFODNN7EXAMPLE") }, content: true, want: []string{Content}},
		"good content":      {change: func(p *tree) { p.refill("AKIAIOSFODNN7ABCDEFG") }, content: true},
	} {
		p := newTree(t)
		test.change(p)
		r := p.look(test.content)
		got := names(r)
		slices.Sort(got)
		slices.Sort(test.want)
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
		score := 100
		for _, f := range r.Findings {
			score -= f.Weight
			if f.Name == Environment && strings.Contains(f.Detail, "secret") {
				t.Errorf("%s: a value in %q", name, f.Detail)
			}
		}
		if r.Score != score {
			t.Errorf("%s: score %d, want %d", name, r.Score, score)
		}
	}
}

func (p *tree) refill(text string) {
	if err := os.WriteFile(p.file(token), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// locked has the token locked, as the kernel says it.
func (p *tree) locked() {
	var st unix.Stat_t
	if err := unix.Stat(p.file(token), &st); err != nil {
		p.t.Fatal(err)
	}
	p.write("locks", fmt.Sprintf("1: POSIX  ADVISORY  WRITE 12 fe:01:5 0 EOF\n2: OFDLCK ADVISORY  READ -1 %02x:%02x:%d 4611686018427387904 4611686018427387904\n",
		unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino))
}

// Those that no test can bring about in files of its own.
func TestComparisons(t *testing.T) {
	p := newTree(t)
	p.write("7/status", fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", os.Getuid()+1))
	if got := names(p.look(false)); len(got) != 0 {
		t.Errorf("the directory's owner: %v", got)
	}
	r := Report{PID: pid, Path: token}
	l := Looker{Proc: p.dir}
	root := openRoot(t, p)
	at, err := root.Lookup(token)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	f, err := lookAt(at)
	if err != nil {
		t.Fatal(err)
	}
	f.uid += 2
	f.dev++
	f.change = f.change.Add(time.Hour)
	if err := l.lookAround(&r, root, f, true); err != nil {
		t.Fatal(err)
	}
	if got := names(r); !slices.Equal(got, []string{Device, Owner, Changed}) {
		t.Errorf("found %v", got)
	}
	f.dev--
	f.ino = 1 << 62
	r = Report{PID: pid, Path: token}
	if err := l.lookAround(&r, root, f, false); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Name == InodeOrder }) {
		t.Errorf("found %+v", r.Findings)
	}
}

// What a container does to its files leads nowhere.
func TestHostile(t *testing.T) {
	p := newTree(t)
	p.write("7/mountinfo", "")
	if err := os.Remove(p.file(token)); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	p.write("../"+filepath.Base(outside), "")
	for what, make := range map[string]func() error{
		"nothing":               func() error { return nil },
		"a link to the outside": func() error { return os.Symlink(outside, p.file(token)) },
		"a pipe":                func() error { return unix.Mkfifo(p.file(token), 0o600) },
		"a directory":           func() error { return os.Mkdir(p.file(token), 0o700) },
	} {
		_ = os.Remove(p.file(token))
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if r, err := (Looker{Proc: p.dir, Content: true}).Look(pid, token); err == nil {
			t.Errorf("%s: %+v", what, r)
		}
	}
	if _, err := (Looker{Proc: p.dir}).Look(8, token); err == nil {
		t.Error("no process, no error")
	}
}

func TestMountOf(t *testing.T) {
	all := []proc.Mount{{ID: 1, Point: "/"}, {ID: 2, Point: "/run/a"}, {ID: 3, Point: "/b"}, {ID: 4, Point: "/b"}}
	for _, test := range []struct {
		path     string
		id, want uint64
	}{{"/run/a", 0, 2}, {"/var/run/a", 2, 2}, {"/b", 0, 4}, {"/c", 1, 0}, {"/c", 0, 0}} {
		var got uint64
		if m := mountOf(all, test.path, test.id); m != nil {
			got = m.ID
		}
		if got != test.want {
			t.Errorf("%+v: %d", test, got)
		}
	}
}

func TestTable(t *testing.T) {
	weight, seen := 100, map[string]bool{}
	for _, row := range Traits() {
		if row.Weight > weight || row.Weight < 1 || seen[row.Name] {
			t.Errorf("%+v: not in order, or twice", row)
		}
		weight, seen[row.Name] = row.Weight, true
		if row.What == "" || row.Who == "" || row.How == "" || row.Advice == "" {
			t.Errorf("%+v: incomplete", row)
		}
	}
}

func openRoot(t *testing.T, p *tree) *rootfs.Root {
	t.Helper()
	r, err := rootfs.Open(p.file("/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}
