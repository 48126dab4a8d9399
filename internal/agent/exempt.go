package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/cgroup"
	"github.com/beesting-otel/beesting/internal/proc"
	"github.com/beesting-otel/beesting/internal/rootfs"
)

// Exempt names the actors that the kernel recognises, each by the identity of
// what the path leads to on the host: never by a name that a process gives
// itself.
type Exempt struct {
	// Binaries and Cgroups are the configuration's: touches by processes that
	// run these binaries or are in these cgroups are counted and not told.
	// Binaries are paths of the host, Cgroups paths below the root of the
	// cgroup v2 hierarchy.
	Binaries, Cgroups []string
	// Runtimes and Kubelets are binaries whose touches are told with the class
	// runtime or kubelet. If nil, the usual paths are tried, and what processes
	// of the host run that are named so; if empty, none.
	Runtimes, Kubelets []string
}

const (
	// exemptEvery is how often the binaries are looked for: an upgrade puts
	// another file in the place of one.
	exemptEvery = time.Minute
	// maxVersions bounds how many files are recognised that a path has led to,
	// as processes go on running the earlier ones: a containerd shim lives as
	// long as its pod.
	maxVersions = 4
)

// exemptions keeps the kernel's knowledge of actors up to date. Its methods may
// be called concurrently.
type exemptions struct {
	sensor  Sensor
	proc    proc.FS
	cgroups *cgroup.FS // nil without cgroup v2
	log     *slog.Logger

	mu       sync.Mutex
	binaries []*program
	paths    []string // of cgroups
	ids      map[string]uint64
	scan     bool
	known    map[inode]bool
	warned   map[string]string // what was said of a path
}

// program is one path and the files that it has led to, the oldest first.
type program struct {
	path     string
	actor    bpf.Actor
	required bool
	versions []version
}

// version keeps the file open: its number is not given to another while it is
// recognised.
type version struct {
	id    inode
	file  *os.File
	watch io.Closer
}

func newExemptions(o Exempt, s Sensor, p proc.FS, g *cgroup.FS, log *slog.Logger) *exemptions {
	x := &exemptions{
		sensor: s, proc: p, cgroups: g, log: log, paths: o.Cgroups,
		ids: map[string]uint64{}, known: map[inode]bool{}, warned: map[string]string{},
	}
	x.add(o.Binaries, bpf.ActorAllowed, true)
	x.add(o.Runtimes, bpf.ActorRuntime, true)
	x.add(o.Kubelets, bpf.ActorKubelet, true)
	for _, d := range usualBinaryTable {
		if d.actor == bpf.ActorRuntime && o.Runtimes == nil || d.actor == bpf.ActorKubelet && o.Kubelets == nil {
			x.add(d.paths(), d.actor, false)
		}
	}
	x.scan = o.Runtimes == nil && o.Kubelets == nil
	return x
}

func (x *exemptions) add(paths []string, a bpf.Actor, required bool) {
	for _, p := range paths {
		x.binaries = append(x.binaries, &program{path: p, actor: a, required: required})
	}
}

// refresh looks for all of them anew.
func (x *exemptions) refresh() {
	x.mu.Lock()
	defer x.mu.Unlock()
	root, err := x.hostRoot()
	if err != nil {
		x.warn("/", "the host's files can't be looked at, so no binary is recognised", err)
	} else {
		defer root.Close()
		for _, b := range x.binaries {
			x.find(root, b)
		}
	}
	if x.scan {
		x.running()
	}
	for _, p := range x.paths {
		x.cgroup(p)
	}
}

// hostRoot is that of the host's first process, which from a container with the
// host's pid namespace is not the agent's own.
func (x *exemptions) hostRoot() (*rootfs.Root, error) {
	root, err := rootfs.Open(filepath.Join(string(x.proc), "1", "root"))
	if err != nil {
		return rootfs.Open("/")
	}
	return root, nil
}

const adviceBinary = "correct sensor.exempt.binaries; it is looked for again every minute"

func (x *exemptions) find(root *rootfs.Root, b *program) {
	f, err := root.Lookup(b.path)
	if err == nil {
		defer f.Close()
		err = x.recognise(f, b)
	}
	if err == nil {
		delete(x.warned, b.path)
		return
	}
	if b.required || !errors.Is(err, fs.ErrNotExist) {
		x.warn(b.path, "binary is not recognised, so what it touches is told like anybody's", err, slog.String("advice", adviceBinary))
	}
}

var (
	errNotBinary = errors.New("not a regular file")
	errWritable  = errors.New("everybody may write to it, and would be exempt")
)

// recognise has the kernel know the file, if it doesn't.
func (x *exemptions) recognise(f *os.File, b *program) error {
	id := inodeOf(f)
	fi, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !fi.Mode().IsRegular():
		return errNotBinary
	case fi.Mode().Perm()&0o002 != 0:
		return errWritable
	case x.known[id]:
		return nil
	}
	// Another open of the same inode: f is open with O_PATH.
	file, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	if err != nil {
		return err
	}
	watch, err := x.sensor.Exempt(file, b.actor)
	if err != nil {
		return errors.Join(fmt.Errorf("exempt: %w", err), file.Close())
	}
	x.known[id] = true
	b.versions = append(b.versions, version{id, file, watch})
	x.log.Debug("binary recognised", slog.String("path", b.path), slog.Int("actor", int(b.actor)))
	if len(b.versions) > maxVersions {
		err = x.drop(b.versions[0])
		b.versions = b.versions[1:]
	}
	return err
}

func (x *exemptions) drop(v version) error {
	delete(x.known, v.id)
	return errors.Join(v.watch.Close(), v.file.Close())
}

// cgroup exempts the cgroup at a path, which is another after it was made anew.
func (x *exemptions) cgroup(path string) {
	const what = "cgroup is not exempt, so what its processes touch is told"
	advice := slog.String("advice", "correct sensor.exempt.cgroups: paths as in /proc/PID/cgroup; it is looked for again every minute")
	if x.cgroups == nil {
		x.warn(path, what, cgroup.ErrNoV2, advice)
		return
	}
	id, err := x.cgroups.ID(path)
	if err == nil && x.ids[path] != id {
		err = x.sensor.ExemptCgroup(id)
	}
	if err != nil {
		x.warn(path, what, err, advice)
		return
	}
	x.ids[path] = id
	delete(x.warned, path)
}

// warn says each thing once, until it changes.
func (x *exemptions) warn(path, what string, err error, more ...any) {
	if x.warned[path] == err.Error() {
		return
	}
	x.warned[path] = err.Error()
	x.log.With(more...).Warn("exemption", slog.String("problem", what), slog.String("path", path), slog.Any("error", err))
}

// recognised counts the files of an actor.
func (x *exemptions) recognised(a bpf.Actor) (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, b := range x.binaries {
		if b.actor == a {
			n += len(b.versions)
		}
	}
	return n
}

// close lets go of the files. Recognised they stay until the sensor is closed, and
// where that leaves programs attached, until the next agent.
func (x *exemptions) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for _, b := range x.binaries {
		for _, v := range b.versions {
			errs = append(errs, v.file.Close())
		}
		b.versions = nil
	}
	return errors.Join(errs...)
}
