//go:build linux && (amd64 || arm64)

package fanotify

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

// look is a touch whose task is to be looked at.
type look struct {
	guard  *guard
	seq    uint64 // to answer; zero if nobody waits
	number uint64
	watch  *Watch
	kind   bpf.Kind
	time   time.Duration
	task
	gone   bool // the task has, and is as it was last seen, or only an id
	opened howOpened
	file   *opened // of an open
	// alive tells after the look whether it was at the right process; nil where
	// that process waited.
	alive func() bool
}

// answer lets the task go on. An error means that the guard has ended, and with
// that everybody goes on.
func (j *look) answer() {
	if j.seq != 0 {
		_ = j.guard.send(message{Type: toAnswer, Seq: j.seq}, nil)
	}
}

func (s *Sensor) lookAtAll() {
	for j := range s.looks {
		s.touch(j)
		j.answer()
		s.mu.Lock()
		delete(s.pending, j.number)
		s.idle.Broadcast()
		s.mu.Unlock()
	}
}

// waitForLooks waits for those that have begun.
func (s *Sensor) waitForLooks() {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := s.looked
	for s.pendingUpTo(last) {
		s.idle.Wait()
	}
}

func (s *Sensor) pendingUpTo(last uint64) bool {
	for n := range s.pending {
		if n <= last {
			return true
		}
	}
	return false
}

// touch counts a touch and tells of it if it is a first one or due.
func (s *Sensor) touch(j look) {
	actor := s.actor(&j)
	e := bpf.Event{Kind: j.kind, Actor: actor, Placement: j.watch.placement, Time: j.time}
	file := j.watch.file
	e.DevMajor, e.DevMinor, e.Inode, e.Generation = file.major, file.minor, file.inode, file.generation
	if j.opened.running {
		j.opened = s.eye.openFlagsOnce(j.thread)
	}
	if j.opened.how != 0 && !j.gone {
		j.opened.flags, j.opened.known = s.eye.openHow(j.thread, j.opened.how)
	}
	e.Flags, e.Mode, e.Variant = j.way()
	entry, told, due := s.countTouch(&j, &e)
	if !due {
		return
	}
	t, err := s.eye.proc.task(j.thread, j.time)
	if err == nil && !j.gone && t.identity() == j.identity() {
		s.eye.look(&e, t)
	} else {
		unknown(&e, j.task)
	}
	// If it was let go meanwhile, its id may be another's by now.
	if now, err := s.eye.proc.stat(e.PID); err == nil && e.StartTime != 0 && now.start != e.StartTime {
		unknown(&e, j.task)
	}
	if j.alive != nil && !j.alive() {
		unknown(&e, task{thread: j.thread})
	}
	s.tell(&j, e, entry, told)
}

const (
	fmodeRead  = 0x1
	fmodeWrite = 0x2
	fmodeExec  = 0x20
)

// way says how the file is opened; variant 1 is for writing.
func (j *look) way() (flags, mode uint32, variant uint8) {
	switch {
	case j.kind == bpf.KindExec:
		return 0, fmodeRead | fmodeExec, 0
	case j.kind != bpf.KindOpen || !j.opened.known:
		return 0, 0, 0
	}
	flags = j.opened.flags
	// O_RDONLY, O_WRONLY and O_RDWR are 0 to 2; 3 is for ioctl only.
	if mode = (flags + 1) & unix.O_ACCMODE; mode&fmodeWrite != 0 {
		variant = 1
	}
	return flags, mode, variant
}

func (j *look) key(variant uint8) repeatKey {
	return repeatKey{placement: j.watch.placement, who: j.identity(), kind: j.kind, variant: variant}
}

// countRepeat counts a touch that isn't to be told of, as a process that touches
// over and over makes many. False if there is more to do. The caller locks.
func (s *Sensor) countRepeat(j *look) bool {
	if len(s.exempt) > 0 || len(s.groups) > 0 || j.opened.how != 0 || j.opened.running {
		return false
	}
	_, _, variant := j.way()
	c := s.counts[j.watch.placement]
	if c == nil || !s.repeats.again(j.key(variant), j.time) {
		return false
	}
	c.count.Seen[j.kind]++
	return true
}

// actor recognises exempt processes. Without exemptions it costs nothing.
func (s *Sensor) actor(j *look) bpf.Actor {
	s.mu.Lock()
	binaries, groups := len(s.exempt), s.groups
	s.mu.Unlock()
	if j.gone {
		return 0
	}
	if len(groups) > 0 {
		if path, ok := s.eye.proc.cgroup(j.process); ok && s.eye.cgroups.within(path, groups) {
			return bpf.ActorAllowed
		}
	}
	if binaries == 0 {
		return 0
	}
	key, err := s.eye.proc.executableKey(j.process)
	if err != nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.exempt[key]; e != nil {
		return e.actor
	}
	return 0
}

// countTouch returns the entry, what of it had been told, and whether there is
// something to tell.
func (s *Sensor) countTouch(j *look, e *bpf.Event) (entry *repeat, told uint64, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts[j.watch.placement]
	if c == nil {
		return nil, 0, false // forgotten meanwhile
	}
	if e.Actor == bpf.ActorAllowed && !s.options.ReportExempt {
		c.count.Exempt++
		return nil, 0, false
	}
	c.count.Seen[j.kind]++
	entry, due, lost := s.repeats.add(j.key(e.Variant), j.time)
	if lost != nil {
		s.lose(lost.key.placement, lost.key.kind, lost.total-lost.told)
	}
	if !due {
		return nil, 0, false
	}
	told = entry.told
	e.Total = entry.total
	entry.sent(j.time)
	if j.file != nil {
		e.Handle = j.file.handle
	}
	return entry, told, true
}

func (s *Sensor) lose(placement uint64, kind bpf.Kind, n uint64) {
	s.stats.Lost[bpf.LostRingFull] += n
	if c := s.counts[placement]; c != nil {
		c.count.Lost[kind] += n
	}
}

// tell puts the event where Read finds it. Without room a first touch is lost; a
// repeat waits for the next one, or for who asks for Repeats.
func (s *Sensor) tell(j *look, e bpf.Event, entry *repeat, told uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Total <= entry.out {
		return // one that was quicker stands for this one, too
	}
	if s.events.push(e, told == 0) {
		entry.out = e.Total
		if j.file != nil {
			j.file.told = true
			s.tellClose(j.watch, j.file)
		}
		return
	}
	if entry.told != e.Total {
		return // a later event stands for this one, too
	}
	entry.told = told
	if told == 0 {
		s.lose(e.Placement, e.Kind, e.Total)
		entry.total -= e.Total // of a first touch that is 1
	}
}
