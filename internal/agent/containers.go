package agent

import (
	"path"
	"strings"
	"sync"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/cgroup"
	"github.com/beesting-otel/beesting/internal/proc"
)

const (
	// maxGone bounds how many removed containers are remembered for the events
	// that were under way.
	maxGone = 1024
	// maxCgroupPaths bounds the memory of resolved cgroup ids.
	maxCgroupPaths = 4096
)

// containers says which container a process is in.
type containers struct {
	proc proc.FS
	fs   *cgroup.FS // nil without cgroup v2

	mu       sync.Mutex
	byID     map[string]*resident
	byCgroup map[uint64]*resident
	byPath   map[string]*resident     // of the cgroup v2 hierarchy
	gone     *fifo[uint64, *resident] // by cgroup id
	unknown  int                      // residents whose cgroup could not be had
	paths    *fifo[uint64, string]
}

// resident is a container and where its processes are counted.
type resident struct {
	container *beesting.Container
	cgroupID  uint64 // zero if it has none or that isn't known
	path      string
	hidden    bool // it has processes, and their cgroup isn't known
}

func newContainers(procfs proc.FS, fs *cgroup.FS) *containers {
	return &containers{
		proc:     procfs,
		fs:       fs,
		byID:     map[string]*resident{},
		byCgroup: map[uint64]*resident{},
		byPath:   map[string]*resident{},
		gone:     newFIFO[uint64, *resident](maxGone),
		paths:    newFIFO[uint64, string](maxCgroupPaths),
	}
}

// add makes a container known, or replaces what was known of it. It returns
// false if the container has processes whose cgroup could not be had.
func (s *containers) add(c *beesting.Container) bool {
	r := &resident{container: c}
	r.cgroupID, r.path = s.cgroupOf(c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byID[c.ID]; old != nil {
		if r.cgroupID == 0 { // its process has ended; the cgroup was its own
			r.cgroupID, r.path = old.cgroupID, old.path
		}
		s.drop(old)
	}
	s.byID[c.ID] = r
	if r.cgroupID != 0 {
		s.byCgroup[r.cgroupID], s.byPath[r.path] = r, r
		return true
	}
	if _, err := s.proc.StartTicks(c.PID); c.PID != 0 && err == nil {
		r.hidden = true
		s.unknown++
	}
	return !r.hidden
}

// drop takes r out of the maps.
func (s *containers) drop(r *resident) {
	delete(s.byID, r.container.ID)
	if r.hidden {
		s.unknown--
	}
	if s.byCgroup[r.cgroupID] == r {
		delete(s.byCgroup, r.cgroupID)
	}
	if s.byPath[r.path] == r {
		delete(s.byPath, r.path)
	}
}

// remove forgets a container, after a while.
func (s *containers) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.byID[id]
	if r == nil {
		return
	}
	s.drop(r)
	if r.cgroupID != 0 {
		s.gone.set(r.cgroupID, r)
	}
}

// cgroupOf finds the cgroup that the container's processes are in; a zero id if
// there is none of its own.
func (s *containers) cgroupOf(c *beesting.Container) (uint64, string) {
	if s.fs == nil {
		return 0, ""
	}
	for _, p := range []string{s.pathOfProcess(c.PID), runtimePath(c.CgroupPath)} {
		// With cgroup v1 controllers every process is in the root of the
		// unified hierarchy, or in one of systemd's: that names no container.
		if p == "" || p == cgroup.Root {
			continue
		}
		if id, err := s.fs.ID(p); err == nil && (p == runtimePath(c.CgroupPath) || names(p, c.ID)) {
			return id, p
		}
	}
	return 0, ""
}

func (s *containers) pathOfProcess(pid int) string {
	if pid == 0 {
		return ""
	}
	cgroups, err := s.proc.Cgroups(pid)
	if err != nil {
		return ""
	}
	for _, cg := range cgroups {
		// "/.." is a cgroup outside of this process' cgroup namespace.
		if cg.Controllers == "" && !strings.HasPrefix(cg.Path, "/..") {
			return cg.Path
		}
	}
	return ""
}

func runtimePath(s string) string {
	p, err := cgroup.RuntimePath(s)
	if err != nil {
		return ""
	}
	return p
}

// names reports whether a component of the cgroup path p is the container's id,
// alone or as in cri-containerd-ID.scope.
func names(p, id string) bool {
	_, ok := component(p, func(s string) (struct{}, bool) { return struct{}{}, s == id })
	return ok
}

// component returns what f finds for the last component of p for which it finds
// something, each tried as it is and as the name in a systemd scope.
func component[T any](p string, f func(string) (T, bool)) (T, bool) {
	for ; p != "" && p != "/" && p != "."; p = path.Dir(p) {
		base := path.Base(p)
		if v, ok := f(base); ok {
			return v, true
		}
		scope, isScope := strings.CutSuffix(base, ".scope")
		if i := strings.LastIndexByte(scope, '-'); isScope && i >= 0 {
			if v, ok := f(scope[i+1:]); ok {
				return v, true
			}
		}
	}
	var none T
	return none, false
}

// of returns the container that the process of e was in, nil if it was in none,
// and false if that can't be told.
func (s *containers) of(e bpf.Event) (*beesting.Container, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.CgroupID != 0 {
		if r := s.byCgroup[e.CgroupID]; r != nil {
			return r.container, true
		}
		if r, ok := s.gone.get(e.CgroupID); ok {
			return r.container, true
		}
	}
	if len(s.byID) == 0 && len(s.gone.values) == 0 {
		return nil, true
	}
	p, resolved := s.pathOf(e.CgroupID)
	for up := p; resolved && up != cgroup.Root; up = path.Dir(up) {
		if r := s.byPath[up]; r != nil {
			return r.container, true
		}
	}
	if resolved && s.unknown == 0 {
		return nil, true
	}
	return s.ofProcess(e)
}

// pathOf resolves a cgroup's id. An id is not used for another cgroup while the
// machine runs, and a cgroup v2 can't be moved, so the answer stays right.
func (s *containers) pathOf(id uint64) (string, bool) {
	if s.fs == nil || id == 0 {
		return "", false
	}
	if p, ok := s.paths.get(id); ok {
		return p, true
	}
	p, err := s.fs.Path(id)
	if err != nil {
		return "", false
	}
	s.paths.set(id, p)
	return p, true
}

// ofProcess asks /proc, which answers for processes that live long enough. It
// is what is left on machines with cgroup v1, where the kernel's id says
// nothing, and for cgroups that are gone.
func (s *containers) ofProcess(e bpf.Event) (*beesting.Container, bool) {
	pid := int(e.PID)
	if !sameProcess(s.proc, e) {
		return nil, false
	}
	cgroups, err := s.proc.Cgroups(pid)
	if err != nil || !sameProcess(s.proc, e) {
		return nil, false
	}
	for _, cg := range cgroups {
		r, ok := component(cg.Path, func(id string) (*resident, bool) {
			r := s.byID[id]
			return r, r != nil
		})
		if ok {
			return r.container, true
		}
	}
	return nil, true
}

// sameProcess reports whether the pid of e still is the process of e.
func sameProcess(fs proc.FS, e bpf.Event) bool {
	ticks, err := fs.StartTicks(int(e.PID))
	return err == nil && time.Duration(ticks) == e.StartTime/proc.Tick
}
