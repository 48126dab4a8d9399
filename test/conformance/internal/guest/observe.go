//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// key is what the kernel side counts by.
type key struct {
	pid     uint32
	start   time.Duration
	kind    bpf.Kind
	variant uint8
}

// observed is what a sensor told of one case.
type observed struct {
	run        *rungRun
	c          cases.Case
	placement  uint64
	token      string
	pid        uint32
	begin, end time.Duration
	got        cases.Tally
	problems   []string

	told  map[key]uint64
	as    map[key]cases.Touch
	opens map[uint64]bool
	// less: told with less than the other rungs tell, as Coverage says.
	less bool
	// late: who it was could not be looked at in time.
	late bool
	// reads and writes are summed over all ends.
	ends          int
	reads, writes uint64
}

func (o *observed) problem(format string, args ...any) {
	o.problems = append(o.problems, fmt.Sprintf(format, args...))
}

// endsWithin is how long the end of an open may take after its process has gone:
// io_uring lets go of files in a worker.
const endsWithin = 500 * time.Millisecond

// toldWithin is how long what fanotify has counted may take to be told: it tells
// changes afterwards, and on a busy machine well afterwards.
const toldWithin = 5 * time.Second

// collect reads all events, waits for the ends of opens, and adds what the
// kernel counted without an event.
func (o *observed) collect() error {
	settled := time.Now().Add(o.run.settle())
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if err := o.drain(); err != nil {
			return err
		}
		behind, err := o.behind()
		if err != nil {
			return err
		}
		now, took := time.Now(), time.Since(begin)
		if took > toldWithin || !behind && (took > endsWithin || len(o.opens) == 0 && now.After(settled)) {
			break
		}
	}
	if err := o.repeats(); err != nil {
		return err
	}
	if len(o.opens) > 0 && o.fanotify() && o.got[cases.Touch{Kind: "open"}]+o.got[cases.Touch{Kind: "exec"}] > 1 {
		o.less = true // of a file that a process has open twice
	} else if len(o.opens) > 0 && o.c.NoEnd == 0 {
		o.problem("%d opens without an end", len(o.opens))
	}
	o.judgeEnds()
	return o.counters()
}

// behind tells whether fanotify has counted something of which nothing was told.
func (o *observed) behind() (bool, error) {
	if !o.fanotify() {
		return false, nil
	}
	count, err := o.run.sensor.Count(o.placement)
	if err != nil {
		return false, fmt.Errorf("counters: %w", err)
	}
	told := map[string]bool{bpf.KindClose.String(): true}
	for t := range o.got {
		told[t.Kind] = true
	}
	for kind, n := range count.Seen {
		if n > 0 && !told[bpf.Kind(kind).String()] {
			return true, nil
		}
	}
	return false, nil
}

func (o *observed) drain() error {
	if err := o.run.sensor.Flush(); err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	for {
		e, err := o.run.sensor.Read()
		var bad *bpf.DecodeError
		switch {
		case errors.Is(err, bpf.ErrFlushed):
			return nil
		case errors.As(err, &bad):
			o.problem("%v", err)
		case err != nil:
			return fmt.Errorf("read: %w", err)
		default:
			o.event(e)
		}
	}
}

// catchUp reads what there is and has the sensor find the copies of which it was
// told by that: what the case does next would otherwise be a race against it.
func (o *observed) catchUp() error {
	for limit := time.Now().Add(toldWithin); ; time.Sleep(time.Millisecond) {
		if err := o.drain(); err != nil {
			return err
		}
		if o.run.sensor.CopyUps() == 0 {
			return nil
		}
		if time.Now().After(limit) {
			o.problem("a copy-up not found in %v", toldWithin)
			return nil
		}
	}
}

func (o *observed) event(e bpf.Event) {
	if e.Kind == bpf.KindSymlink && e.Placement == 0 {
		if !o.leadsToToken(e) {
			return
		}
		e.Placement = o.placement
	}
	if e.Placement != o.placement {
		o.problem("%s of placement %d by %q", e.Kind, e.Placement, e.Args)
		return
	}
	if e.Kind == bpf.KindClose {
		if !o.opens[e.Handle] {
			o.problem("end of an open that was not told")
		}
		delete(o.opens, e.Handle)
		o.ends++
		o.run.rung.Ends++
		o.reads += e.Reads
		o.writes += e.Writes
		return
	}
	k := key{e.PID, e.StartTime, e.Kind, e.Variant}
	t := cases.Touch{Kind: e.Kind.String(), Child: e.PID != o.pid}
	if e.Errno != 0 {
		t.Errno = unix.ErrnoName(unix.Errno(e.Errno))
	}
	if e.Total <= o.told[k] {
		o.problem("%s: total went from %d to %d", t, o.told[k], e.Total)
	} else {
		o.got[t] += e.Total - o.told[k]
	}
	o.told[k], o.as[k] = e.Total, t
	if e.Handle != 0 {
		o.opens[e.Handle] = true
		o.run.rung.Opens++
	}
	o.actor(t, e)
}

// numberOnly: fanotify tells changes afterwards, and reads on newer kernels; of a
// task that has ended or is ending then it has not much more than the number. An
// open or exec waits until it was looked at, if that is within 100 ms.
func numberOnly(e bpf.Event) bool {
	if e.Kind == bpf.KindOpen || e.Kind == bpf.KindExec {
		return false
	}
	return e.ParentPID == 0 && e.Comm == "" || e.Executable == "" && e.ExecutableTruncated
}

// leadsToToken does what the agent does with a symbolic link whose target has a
// token's name: it follows it. Cwd is the directory that the link is in.
func (o *observed) leadsToToken(e bpf.Event) bool {
	target := e.Detail
	if !path.IsAbs(target) {
		target = e.Cwd + "/" + target
	}
	at, err := filepath.EvalSymlinks(target)
	if err != nil {
		return false
	}
	token, err := filepath.EvalSymlinks(o.token)
	return err == nil && at == token
}

// actor checks who is named.
func (o *observed) actor(t cases.Touch, e bpf.Event) {
	if o.fanotify() && numberOnly(e) {
		o.less = true
		return
	}
	// An open or exec that the machine left no 100 ms to look at.
	o.late = o.late || o.fanotify() && e.Executable == "" && e.ExecutableTruncated
	if t.Child && e.ParentPID != o.pid {
		o.problem("%s by process %d (%s, parent %d), toucher is %d", t, e.PID, e.Comm, e.ParentPID, o.pid)
	}
	if e.UID != o.c.UID || e.EUID != o.c.UID {
		o.problem("%s by user %d/%d, want %d", t, e.UID, e.EUID, o.c.UID)
	}
	if path.Base(e.Executable) != path.Base(toucher) {
		o.problem("%s by program %q", t, e.Executable)
	}
	if e.Time < o.begin || e.Time > o.end+endsWithin {
		o.problem("%s at %v, not between %v and %v", t, e.Time, o.begin, o.end)
	}
	if o.fanotify() {
		return
	}
	o.origin(t, e)
	if named := e.Kind == bpf.KindXattr || e.Kind == bpf.KindRename; named && o.c.Detail != "" && e.Detail != o.c.Detail {
		o.problem("%s of %q, want %q", t, e.Detail, o.c.Detail)
	}
}

// origin checks where an actor comes from: its cgroup, the first process there,
// which is the toucher, and who lies between the two.
func (o *observed) origin(t cases.Touch, e bpf.Event) {
	if e.StartTime < o.begin || e.StartTime > e.Time {
		o.problem("%s by a process that started at %v, not between %v and %v", t, e.StartTime, o.begin, e.Time)
	}
	if e.CgroupID != o.run.cgroupID {
		o.problem("%s in cgroup %d, want %d", t, e.CgroupID, o.run.cgroupID)
	}
	if e.EntryPID != o.pid || e.EntryStartTime < o.begin || e.EntryStartTime > e.StartTime {
		o.problem("%s with entry process %d of %v, toucher is %d", t, e.EntryPID, e.EntryStartTime, o.pid)
	}
	var above []uint32
	for _, a := range e.Ancestors {
		above = append(above, a.PID)
	}
	// Up to the entry process and its parent, which is in another cgroup.
	want := []uint32{uint32(os.Getpid())}
	if t.Child {
		want = []uint32{o.pid, uint32(os.Getpid())}
	}
	if !slices.Equal(above, want) {
		o.problem("%s with ancestors %v, want %v", t, above, want)
	}
}

// repeats adds what was counted after the last event of its kind.
func (o *observed) repeats() error {
	all, err := o.run.sensor.Repeats()
	if err != nil {
		return fmt.Errorf("repeats: %w", err)
	}
	for _, r := range all {
		k := key{r.PID, r.StartTime, r.Kind, r.Variant}
		if r.Placement != o.placement || r.Total == o.told[k] {
			continue
		}
		t, ok := o.as[k]
		if !ok {
			o.problem("%d %s by process %d counted, and not one told", r.Total, r.Kind, r.PID)
			continue
		}
		o.got[t] += r.Total - o.told[k]
	}
	return nil
}

func (o *observed) fanotify() bool { return o.run.rung.Rung == cases.RungFanotify }

// merged takes fewer touches for all of them where the rung tells several in one,
// one more where the kernel asks again, and the number of a worker that has gone
// for its process.
func (o *observed) merged(want cases.Tally) {
	for t, n := range o.got {
		other := cases.Touch{Kind: t.Kind, Errno: t.Errno, Child: !t.Child}
		if o.less && want[t] == 0 && want[other] > 0 && o.got[other] == 0 {
			delete(o.got, t)
			o.got[other] = n
		}
	}
	for t, n := range want {
		if o.c.AskedAgain(o.run.release) && o.got[t] == n+1 {
			o.got[t], o.less = n, true
		}
		several := t.Kind == "read" || t.Kind == "write" || t.Kind == "setattr"
		if got := o.got[t]; o.fanotify() && several && got > 0 && got < n {
			o.got[t], o.less = n, true
		}
	}
}

// judgeEnds compares the reads and writes of the ends with the case's.
func (o *observed) judgeEnds() {
	// fanotify merges writes.
	if o.c.Reads == 0 && o.c.Writes == 0 || o.ends == 0 || o.fanotify() && o.c.Writes > 0 {
		return
	}
	o.run.rung.Counted++
	if o.reads == o.c.Reads && o.writes == o.c.Writes {
		o.run.rung.Right++
		return
	}
	o.problem("ends tell %d reads and %d writes, want %d and %d", o.reads, o.writes, o.c.Reads, o.c.Writes)
}

// counters compares the kernel's own counters with what was told.
func (o *observed) counters() error {
	count, err := o.run.sensor.Count(o.placement)
	if err != nil {
		return fmt.Errorf("counters: %w", err)
	}
	told := map[string]uint64{}
	for t, n := range o.got {
		told[t.Kind] += n
	}
	for kind, n := range count.Seen {
		name := bpf.Kind(kind).String()
		// A symbolic link's placement is found out later than the kernel counts.
		if bpf.Kind(kind) != bpf.KindClose && bpf.Kind(kind) != bpf.KindSymlink && n != told[name] {
			o.problem("the kernel counted %d %s, told %d", n, name, told[name])
		}
		if count.Lost[kind] != 0 {
			o.problem("%d %s lost", count.Lost[kind], name)
		}
	}
	if count.Exempt != 0 {
		o.problem("%d touches exempt", count.Exempt)
	}
	return nil
}
