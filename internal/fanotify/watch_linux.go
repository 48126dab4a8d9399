//go:build linux && (amd64 || arm64)

package fanotify

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

const (
	permissionEvents = unix.FAN_OPEN_PERM | unix.FAN_OPEN_EXEC_PERM | unix.FAN_ACCESS_PERM
	markedEvents     = permissionEvents | unix.FAN_ACCESS | unix.FAN_MODIFY | unix.FAN_CLOSE_WRITE | unix.FAN_CLOSE_NOWRITE
)

// ErrUnsafe is returned for a file whose file system has a daemon in user space.
var ErrUnsafe = errors.New("file on FUSE: its daemon could hold up whoever opens it")

// Watch is one watched inode. It keeps the file open until Close.
type Watch struct {
	sensor    *Sensor
	placement uint64
	number    openKey
	pin       *os.File
	key       inodeKey
	file      fileID
	changed   string // the handle that changes are told under, empty if they aren't
	links     uint32
	once      sync.Once
	err       error
}

// ioctlGetVersion is FS_IOC_GETVERSION of 64-bit architectures, linux/fs.h.
const ioctlGetVersion = 0x80087601

// fileID is what an event says of the file.
type fileID struct {
	major, minor, generation uint32
	inode                    uint64
}

// Watch starts watching the inode of f under the given placement id, which must
// not be zero. f may be opened with O_PATH; it is opened once more through
// /proc/self/fd, so the path plays no part, and the caller may close f
// afterwards. An inode that this placement watches already is no error: closing
// the result ends that watch.
//
// Errors: bpf.ErrNotRegular, bpf.ErrTooMany, *bpf.WatchedError, ErrUnsafe, or
// what the file system said. After an error nothing is watched that was not
// before.
func (s *Sensor) Watch(f *os.File, placement uint64) (io.Closer, error) {
	if placement == 0 {
		return nil, errors.New("watch: placement id is zero")
	}
	w, err := s.newWatch(f, placement)
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", f.Name(), err)
	}
	s.marking.Lock()
	defer s.marking.Unlock()
	known, g, err := s.register(w)
	if err != nil || known != nil {
		if err = errors.Join(err, w.pin.Close()); err != nil {
			return nil, fmt.Errorf("watch %s: %w", f.Name(), err)
		}
		return known, nil
	}
	err = g.mark(toMark, markedEvents, w.pin)
	if errors.Is(err, errGuardGone) {
		err = nil // the next guard marks what is registered
	}
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(w)
		return nil, errors.Join(fmt.Errorf("watch %s: %w", f.Name(), err), w.pin.Close())
	}
	if s.changes != nil {
		s.changes.add(w)
	}
	return w, nil
}

// newWatch opens the file once more: a file that is open for reading can't get
// a write lease, which would make the guard's own open fail or wait.
func (s *Sensor) newWatch(f *os.File, placement uint64) (*Watch, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, fmt.Errorf("stat: %w", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, bpf.ErrNotRegular
	}
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return nil, fmt.Errorf("file system: %w", err)
	}
	if fs.Type == unix.FUSE_SUPER_MAGIC {
		return nil, ErrUnsafe
	}
	const flags = unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), flags, 0)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	w := &Watch{sensor: s, placement: placement, pin: os.NewFile(uintptr(fd), f.Name()), links: uint32(st.Nlink)}
	if w.key, err = statKey(fd, "", unix.AT_EMPTY_PATH); err != nil {
		return nil, errors.Join(err, w.pin.Close())
	}
	w.file = fileID{major: unix.Major(st.Dev), minor: unix.Minor(st.Dev), inode: w.key.ino}
	// Not every file system has it.
	if generation, err := unix.IoctlGetInt(fd, ioctlGetVersion); err == nil {
		w.file.generation = uint32(generation)
	}
	return w, nil
}

// register makes w known, or returns the watch that its placement has on the
// inode already. Events can come as soon as the mark is set.
func (s *Sensor) register(w *Watch) (*Watch, *guard, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, c := s.byInode[w.key], s.counts[w.placement]
	switch {
	case s.closed:
		return nil, nil, fmt.Errorf("sensor: %w", os.ErrClosed)
	case old != nil && old.placement == w.placement:
		return old, nil, nil
	case old != nil:
		return nil, nil, &bpf.WatchedError{Placement: old.placement}
	case len(s.watches) >= s.options.MaxWatches, c == nil && len(s.counts) >= 2*s.options.MaxWatches:
		return nil, nil, bpf.ErrTooMany
	}
	if c == nil {
		c = &counter{}
		s.counts[w.placement] = c
	}
	c.watches++
	s.numbers++
	w.number = s.numbers
	s.watches[w] = struct{}{}
	s.byInode[w.key] = w
	return nil, s.guard, nil
}

// drop takes w out. The caller locks.
func (s *Sensor) drop(w *Watch) {
	delete(s.watches, w)
	delete(s.byInode, w.key)
	s.opens.drop(w.number)
	if c := s.counts[w.placement]; c != nil {
		c.watches--
	}
}

// find returns the watch on an inode. The number that stat(2) gives for a file
// of an overlay can change when it is copied up: then all are asked again.
func (s *Sensor) find(key inodeKey) *Watch {
	if w, ok := s.byInode[key]; ok {
		return w
	}
	for w := range s.watches {
		now, err := statKey(int(w.pin.Fd()), "", unix.AT_EMPTY_PATH)
		if err == nil && now != w.key && s.byInode[now] == nil {
			delete(s.byInode, w.key)
			w.key = now
			s.byInode[now] = w
		}
	}
	return s.byInode[key]
}

// Placement returns the id under which the inode is watched.
func (w *Watch) Placement() uint64 { return w.placement }

// Close stops watching and lets go of the file. What has happened until now can
// still be read. Further calls return the first one's result.
func (w *Watch) Close() error {
	w.once.Do(func() { w.err = w.sensor.unwatch(w) })
	return w.err
}

func (s *Sensor) unwatch(w *Watch) error {
	s.marking.Lock()
	defer s.marking.Unlock()
	s.mu.Lock()
	g, closed := s.guard, s.closed
	s.mu.Unlock()
	if closed {
		return nil // Close has let go of everything
	}
	err := g.mark(toUnmark, markedEvents, w.pin)
	if errors.Is(err, errGuardGone) {
		err = nil
	}
	if s.changes != nil {
		s.changes.remove(w)
	}
	s.settle(g)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.drop(w)
	if err := errors.Join(err, w.pin.Close()); err != nil {
		return fmt.Errorf("unwatch %s: %w", w.pin.Name(), err)
	}
	return nil
}

// settle waits until the events that were queued before the mark went have been
// attributed: the watch has to be known for that.
func (s *Sensor) settle(g *guard) {
	done := make(chan struct{})
	g.barrier(func() { close(done) })
	select {
	case <-done:
	case <-g.gone:
	case <-time.After(time.Second): // a guard that is stuck is about to be killed
	}
}

// Exemption is a binary whose touches are not told, or marked.
type Exemption struct {
	sensor *Sensor
	key    inodeKey
	pin    *os.File
	actor  bpf.Actor
	once   sync.Once
	err    error
}

// Exempt recognises the processes that run the binary f, which may be open with
// O_PATH and can be closed afterwards, by its inode. Touches by ActorAllowed are
// counted in Count.Exempt only, unless Options.ReportExempt; the others are
// told with the actor.
func (s *Sensor) Exempt(f *os.File, a bpf.Actor) (io.Closer, error) {
	// The inode is kept from being used again for another file.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("exempt %s: %w", f.Name(), err)
	}
	e := &Exemption{sensor: s, pin: os.NewFile(uintptr(fd), f.Name()), actor: a}
	if e.key, err = statKey(fd, "", unix.AT_EMPTY_PATH); err != nil {
		return nil, errors.Join(fmt.Errorf("exempt %s: %w", f.Name(), err), e.pin.Close())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch old := s.exempt[e.key]; {
	case s.closed:
		err = os.ErrClosed
	case old != nil:
		err = os.ErrExist
	case len(s.exempt) >= maxExemptions:
		err = bpf.ErrTooMany
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("exempt %s: %w", f.Name(), err), e.pin.Close())
	}
	s.exempt[e.key] = e
	return e, nil
}

const maxExemptions = 1024

// Close ends the exemption.
func (e *Exemption) Close() error {
	e.once.Do(func() {
		e.sensor.mu.Lock()
		defer e.sensor.mu.Unlock()
		if e.sensor.closed {
			return
		}
		delete(e.sensor.exempt, e.key)
		e.err = e.pin.Close()
	})
	return e.err
}

// ForgetEarlier has nothing to forget: what is exempt ends with the sensor.
func (s *Sensor) ForgetEarlier() error { return nil }

// ExemptCgroup exempts the processes in a cgroup of the v2 hierarchy and below,
// like ActorAllowed.
func (s *Sensor) ExemptCgroup(id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case id == 0:
		return errors.New("exempt cgroup: id is zero")
	case s.eye.cgroups == "":
		return errors.New("exempt cgroup: no cgroup v2 hierarchy")
	case len(s.groups) >= maxExemptions:
		return fmt.Errorf("exempt cgroup %d: %w", id, bpf.ErrTooMany)
	}
	s.groups[id] = struct{}{}
	return nil
}
