package stealth

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/rootfs"
)

const (
	maxNeighbours = 256
	maxEnviron    = 1 << 20
	maxLocks      = 16 << 20
	maxContent    = 1 << 20 // beesting.MaxTokenContent
	day           = 24 * time.Hour
)

// Looker looks at tokens. Proc is needed.
type Looker struct {
	// Proc is where the host's proc file system is mounted.
	Proc string
	// Agent is the name of the agent's process, at most 15 bytes.
	Agent string
	// Content has tokens read, which is an access as anybody's.
	Content bool
	// Now is the wall clock; time.Now if nil.
	Now func() time.Time
}

// Report is what could betray one token.
type Report struct {
	PID  int    `json:"pid"`
	Path string `json:"path"`
	// Score is 100 less the weights of the findings, and 0 at least.
	Score int `json:"score"`
	// Findings are one a trait, the heaviest first.
	Findings []Finding `json:"findings"`
}

// Finding is a trait that a token has.
type Finding struct {
	Trait
	Detail string `json:"detail"`
}

// file is what a look at a file tells.
type file struct {
	dev, ino, mount  uint64 // mount is 0 where the kernel doesn't tell
	major, minor     uint32
	mode             os.FileMode
	uid, gid         uint32
	links            uint64
	size             int64
	modified, change time.Time
}

// Look looks at the token that the process with this pid sees at a path. The error
// says why nothing can be seen: the process has ended, or there is no such file.
func (l Looker) Look(pid int, name string) (Report, error) {
	r := Report{PID: pid, Path: path.Clean("/" + name), Findings: []Finding{}}
	began, err := proc.FS(l.Proc).StartTicks(pid)
	if err != nil {
		return r, err
	}
	if err := l.look(&r); err != nil {
		return r, fmt.Errorf("token %s of process %d: %w", r.Path, pid, err)
	}
	if now, err := proc.FS(l.Proc).StartTicks(pid); err != nil || now != began {
		return r, errors.Join(fmt.Errorf("process %d has ended", pid), err)
	}
	r.finish()
	return r, nil
}

func (l Looker) look(r *Report) error {
	dir, err := rootfs.Open(l.path(r.PID, "root"))
	if err != nil {
		return err
	}
	defer dir.Close()
	f, err := dir.Lookup(r.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	token, err := lookAt(f)
	if err != nil {
		return err
	}
	if !token.mode.IsRegular() {
		return fmt.Errorf("not a regular file: %v", token.mode)
	}
	mounts, err := proc.FS(l.Proc).Mounts(r.PID)
	if err != nil {
		return err
	}
	m := mountOf(mounts, r.Path, token.mount)
	r.lookMount(mounts, m)
	if err := l.lookLocks(r, token, mounts, m); err != nil {
		return err
	}
	l.lookFile(r, token)
	if err := l.lookAround(r, dir, token, m != nil); err != nil {
		return err
	}
	l.lookProcess(r, mounts)
	if l.Content {
		return lookContent(r, f)
	}
	return nil
}

func (l Looker) path(pid int, name string) string {
	return filepath.Join(l.Proc, strconv.Itoa(pid), name)
}

func (l Looker) now() time.Time {
	if l.Now == nil {
		return time.Now()
	}
	return l.Now()
}

// lookLocks looks for the sensor's lock. Those of open file descriptions are shown
// in every pid namespace, with -1 for the pid (fs/locks.c), so the host's list has
// what the container's has.
func (l Looker) lookLocks(r *Report, token file, mounts []proc.Mount, m *proc.Mount) error {
	if slices.ContainsFunc(mounts, func(m proc.Mount) bool { return m.Point == "/proc/locks" }) {
		return nil // masked
	}
	f, err := os.Open(filepath.Join(l.Proc, "locks"))
	if err != nil {
		return err
	}
	defer f.Close()
	all, err := io.ReadAll(io.LimitReader(f, maxLocks))
	if err != nil {
		return err
	}
	want := []string{fmt.Sprintf("%02x:%02x:%d", token.major, token.minor, token.ino)}
	if m != nil {
		// The file system's device, which stat doesn't tell on btrfs.
		var major, minor uint32
		if _, err := fmt.Sscanf(m.Device, "%d:%d", &major, &minor); err == nil {
			want = append(want, fmt.Sprintf("%02x:%02x:%d", major, minor, token.ino))
		}
	}
	for line := range strings.Lines(string(all)) {
		fields := strings.Fields(line)
		if len(fields) > 5 && slices.Contains(fields, "OFDLCK") && slices.ContainsFunc(want, func(w string) bool { return slices.Contains(fields, w) }) {
			r.found(Lock, strings.Join(fields[1:], " "))
			return nil
		}
	}
	return nil
}

// lookFile is what the file says itself.
func (l Looker) lookFile(r *Report, token file) {
	if token.size == 0 {
		r.found(Empty, "")
	}
	if token.links > 1 {
		r.found(Links, fmt.Sprintf("%d names", token.links))
	}
	if token.mode.Perm()&0o004 != 0 {
		r.found(Mode, fmt.Sprintf("%04o", token.mode.Perm()))
	}
	if age := l.now().Sub(token.modified); age < day {
		r.found(Fresh, token.modified.UTC().Format(time.RFC3339))
	}
}

// lookAround compares the token with its directory and what else is in it.
func (l Looker) lookAround(r *Report, dir *rootfs.Root, token file, mounted bool) error {
	d, err := dir.Lookup(path.Dir(r.Path))
	if err != nil {
		return err
	}
	defer d.Close()
	parent, err := lookAt(d)
	if err != nil {
		return err
	}
	if mounted && parent.dev != token.dev {
		r.found(Device, fmt.Sprintf("device %d:%d", token.major, token.minor))
	}
	if uid, ok := l.user(r.PID); ok && token.uid != uid && token.uid != parent.uid {
		r.found(Owner, fmt.Sprintf("uid %d, the container's is %d", token.uid, uid))
	}
	others, err := neighbours(d, path.Base(r.Path))
	if err != nil {
		return err
	}
	if len(others) == 0 {
		r.found(Alone, path.Dir(r.Path))
		return nil
	}
	changed, inode := true, true
	for _, o := range others {
		// A minute for what was unpacked or made together with it.
		changed = changed && token.change.Sub(o.change) > time.Minute
		inode = inode && o.dev == token.dev && o.ino < token.ino
	}
	if changed {
		r.found(Changed, fmt.Sprintf("at %s", token.change.UTC().Format(time.RFC3339)))
	}
	if inode && !mounted {
		r.found(InodeOrder, fmt.Sprint(token.ino))
	}
	return nil
}

// neighbours looks at the regular files of a directory, or the first of them.
func neighbours(dir *os.File, but string) ([]file, error) {
	list, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()))
	if err != nil {
		return nil, err
	}
	defer list.Close()
	names, err := list.Readdirnames(maxNeighbours)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var all []file
	for _, name := range names {
		if name == but {
			continue
		}
		if f, err := lookAtName(list, name); err == nil && f.mode.IsRegular() {
			all = append(all, f)
		}
	}
	return all, nil
}

// user is who the container's first process runs as, in the host's numbers.
func (l Looker) user(pid int) (uint32, bool) {
	b, err := os.ReadFile(l.path(pid, "status"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "Uid:"); ok {
			if f := strings.Fields(rest); len(f) == 4 {
				uid, err := strconv.ParseUint(f[1], 10, 32)
				return uint32(uid), err == nil
			}
		}
	}
	return 0, false
}

// lookProcess is what is around, whatever the token.
func (l Looker) lookProcess(r *Report, mounts []proc.Mount) {
	for _, m := range mounts {
		if m.Kind == "bpf" {
			r.found(BPF, m.Point)
		}
	}
	if f, err := os.Open(l.path(r.PID, "environ")); err == nil {
		env, _ := io.ReadAll(io.LimitReader(f, maxEnviron)) // what can't be read isn't judged
		_ = f.Close()
		for v := range bytes.SplitSeq(env, []byte{0}) {
			if w, ok := hint(string(v)); ok {
				name, _, _ := strings.Cut(string(v), "=")
				r.found(Environment, fmt.Sprintf("%q in variable %s", w, name)) // its value may be a secret
			}
		}
	}
	host, errHost := os.Readlink(l.path(1, "ns/pid"))
	own, errOwn := os.Readlink(l.path(r.PID, "ns/pid"))
	if errHost != nil || errOwn != nil || host != own || l.Agent == "" {
		return
	}
	pids, _ := filepath.Glob(filepath.Join(l.Proc, "[0-9]*")) // a fixed pattern below a path of ours
	for _, p := range pids {
		pid, err := strconv.Atoi(filepath.Base(p))
		if err != nil {
			continue
		}
		if name, err := proc.FS(l.Proc).Comm(pid); err == nil && name == l.Agent {
			r.found(Processes, fmt.Sprintf("process %d, %s", pid, name))
		}
	}
}

func lookContent(r *Report, f *os.File) error {
	// By its path below /proc, as an O_PATH descriptor can't be read.
	readable, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	defer readable.Close()
	text, err := io.ReadAll(io.LimitReader(readable, maxContent))
	if err != nil {
		return err
	}
	if w, ok := hint(string(text)); ok {
		r.found(Content, fmt.Sprintf("%q", w))
	} else if bytes.Contains(text, []byte("EXAMPLE")) {
		r.found(Content, `"EXAMPLE", as in documentation`)
	}
	return nil
}

// found notes a trait, once.
func (r *Report) found(name, detail string) {
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Name == name }) {
		return
	}
	for _, t := range traitRows {
		if t.Name == name {
			r.Findings = append(r.Findings, Finding{Trait: t, Detail: detail})
		}
	}
}

func (r *Report) finish() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return b.Weight - a.Weight })
	r.Score = 100
	for _, f := range r.Findings {
		r.Score = max(0, r.Score-f.Weight)
	}
}
