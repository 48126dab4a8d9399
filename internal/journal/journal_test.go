package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

func options(t testing.TB) Options {
	return Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func open(t testing.TB, dir string, o Options) *Journal {
	t.Helper()
	j, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
	return j
}

// access is one like those that the agent makes, with what JSON can't hold.
func access(n int) beesting.Access {
	a := beesting.Access{
		Kind: beesting.AccessOpen, Outcome: beesting.OutcomeAllowed, Time: time.Unix(1790000000, int64(n)),
		ObservedTime: time.Unix(1790000001, 5), Count: uint64(n) + 1, Actor: beesting.ActorWorkload, Detail: "a\xffb" + noise(n),
		Placement: beesting.Placement{
			ID: beesting.PlacementID(n%7 + 1), TokenID: strings.Repeat("ab", 16), HostPath: "/var/lib/beesting/\xfe",
			Token: beesting.Token{Name: "aws", Kind: "aws-credentials", Path: "/root/.aws/credentials", Content: []byte("secret"), Mode: 0o600},
			Container: &beesting.Container{
				ID: strings.Repeat("c", 64), Name: "web", ImageName: "registry.example/web", ImageTags: []string{"1"},
				Pod: beesting.Pod{Name: "web-1", Namespace: "shop", UID: "u", Labels: map[string]string{"app": "web"}},
			},
		},
		Process: beesting.Process{
			PID: uint32(n), TID: uint32(n), ParentPID: 1, StartTime: time.Unix(1789999999, 0), Comm: "cat", Executable: "/bin/cat",
			Args: []string{"cat", "/root/.aws/credentials", "\xff\x00"}, LoginUID: beesting.LoginUIDUnset, AuditSession: beesting.AuditSessionUnset,
			Capabilities: 1<<41 - 1, Ancestors: []beesting.Ancestor{{PID: 1, StartTime: time.Unix(1, 0), Comm: "sh"}},
		},
	}
	a.ID[0], a.ID[1], a.ID[2], a.ID[15] = byte(n), byte(n>>8), byte(n>>16), 0xff
	return a
}

// noise can't be compressed: with it an entry takes about 2 KiB.
func noise(n int) string {
	b := make([]byte, 1600)
	_, _ = rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)}).Read(b) // returns no error
	return string(b)
}

func entry(n int) Entry { a := access(n); return Entry{Access: &a} }

func fill(t testing.TB, j *Journal, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := j.Append(entry(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// read takes what a cursor has, n at a time, until there is no more.
func read(t testing.TB, c *Cursor, n int) []Entry {
	t.Helper()
	c.Drain(true)
	defer c.Drain(false)
	var all []Entry
	for {
		batch, err := c.Next(t.Context(), n)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, batch...)
		c.Ack(len(batch))
	}
}

func cursor(t testing.TB, j *Journal, name string, wants ...Shape) *Cursor {
	t.Helper()
	if wants == nil {
		wants = []Shape{Whole, Ongoing, Gap}
	}
	c, err := j.Cursor(name, wants...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func counts(entries []Entry) []int {
	var all []int
	for _, e := range entries {
		all = append(all, int(e.Access.Count)-1)
	}
	return all
}

func upTo(from, to int) []int {
	var all []int
	for n := from; n < to; n++ {
		all = append(all, n)
	}
	return all
}

func TestAnEntryComesBackAsItWas(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	cursor(t, j, "logs")
	ongoing := access(1)
	ongoing.Ongoing = true
	gap := beesting.Gap{Placement: access(2).Placement, Kind: beesting.AccessStat, Count: 3, From: time.Unix(5, 1), To: time.Unix(6, 2), Cause: "ring_full"}
	whole := access(0)
	if err := j.Append(Entry{Access: &whole}, Entry{Access: &ongoing}, Entry{Gap: &gap}, Entry{Access: &ongoing, Ended: true}); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, options(t))
	logs, ends := cursor(t, j, "logs"), cursor(t, j, "ends", End)
	got := read(t, logs, 10)
	if len(got) != 3 || got[2].Gap == nil || got[2].Seq != 3 || !got[1].Access.Ongoing {
		t.Fatalf("entries %+v", got)
	}
	if n := len(read(t, ends, 10)); n != 0 {
		t.Errorf("a cursor that is new has %d entries", n)
	}
	want := whole
	want.Placement.Token.Content = nil // stays where it is
	if fmt.Sprintf("%+v", want.Process) != fmt.Sprintf("%+v", got[0].Access.Process) || !reflect.DeepEqual(want.Placement, got[0].Access.Placement) {
		t.Errorf("access\n%+v, want\n%+v", *got[0].Access, want)
	}
	if !got[0].Access.Time.Equal(want.Time) || got[0].Access.ID != want.ID || got[0].Access.Detail != want.Detail {
		t.Errorf("access %+v", *got[0].Access)
	}
	if !got[2].Gap.From.Equal(gap.From) || got[2].Gap.Count != 3 || !reflect.DeepEqual(got[2].Gap.Placement.Container, gap.Placement.Container) {
		t.Errorf("gap %+v", *got[2].Gap)
	}
	if whole.Placement.Token.Content == nil {
		t.Error("the caller's access was changed")
	}
}

func TestCursorsMoveOnlyWhenTold(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	logs, spans := cursor(t, j, "logs"), cursor(t, j, "spans", Whole, End)
	fill(t, j, 0, 100)
	batch, err := logs.Next(t.Context(), 30)
	if err != nil || len(batch) != 30 {
		t.Fatal(len(batch), err)
	}
	again, _ := logs.Next(t.Context(), 10)
	if !slices.Equal(counts(again), upTo(0, 10)) {
		t.Errorf("without Ack the next are %v", counts(again))
	}
	logs.Ack(20)
	logs.Take([]int{1, 3})
	if logs.Pending() != 78 || spans.Pending() != 100 {
		t.Errorf("pending %d and %d", logs.Pending(), spans.Pending())
	}
	if got := counts(read(t, logs, 7)); !slices.Equal(got, append([]int{20, 22}, upTo(24, 100)...)) {
		t.Errorf("the rest is %v", got)
	}
	spans.Ack(len(must(spans.Next(t.Context(), 40))))
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := spans.Next(t.Context(), 1); !errors.Is(err, io.EOF) {
		t.Errorf("after Close: %v", err)
	}
	if err := j.Append(entry(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	j = open(t, dir, options(t))
	logs, spans = cursor(t, j, "logs"), cursor(t, j, "spans", Whole, End)
	if logs.Pending() != 0 || spans.Pending() != 60 {
		t.Errorf("pending after opening %d and %d", logs.Pending(), spans.Pending())
	}
	if got := counts(read(t, spans, 7)); !slices.Equal(got, upTo(40, 100)) {
		t.Errorf("the rest is %v", got)
	}
	fill(t, j, 100, 101)
	if got := read(t, logs, 7); len(got) != 1 || got[0].Seq != 101 {
		t.Errorf("the next is %+v", got)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCursorsThatEnd(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	kept, gone := cursor(t, j, "kept"), cursor(t, j, "gone")
	if _, err := j.Cursor("kept", Whole); err == nil {
		t.Error("a name can be had twice")
	}
	fill(t, j, 0, 10)
	must(kept.Next(t.Context(), 3))
	kept.Ack(3)
	kept.Release()
	if n := gone.Forget(); n != 10 {
		t.Errorf("%d entries given up", n)
	}
	if _, err := kept.Next(t.Context(), 1); !errors.Is(err, io.EOF) {
		t.Errorf("after Release: %v", err)
	}
	fill(t, j, 10, 12)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, options(t))
	if got := counts(read(t, cursor(t, j, "kept"), 5)); !slices.Equal(got, upTo(3, 12)) {
		t.Errorf("the one that was released has %v", got)
	}
	if got := counts(read(t, cursor(t, j, "gone"), 5)); got != nil {
		t.Errorf("the one that was forgotten has %v", got)
	}
}

func TestNextWaits(t *testing.T) {
	j := open(t, t.TempDir(), options(t))
	c := cursor(t, j, "logs")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Next(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, func() { _ = j.Append(entry(4)) })
	if got := must(c.Next(t.Context(), 5)); len(got) != 1 {
		t.Errorf("%d entries", len(got))
	}
	time.AfterFunc(20*time.Millisecond, func() { c.Drain(true) })
	c.Ack(1)
	if _, err := c.Next(t.Context(), 5); !errors.Is(err, io.EOF) {
		t.Errorf("while draining: %v", err)
	}
}

// TestSegments reads through many files, in memory and not, while they are written.
func TestSegments(t *testing.T) {
	dir := t.TempDir()
	o := options(t)
	o.MaxBytes = 64 << 20
	j := open(t, dir, o)
	j.o.MaxBytes = 4 << 20 // segments of 512 KiB
	late := cursor(t, j, "late")
	var wg sync.WaitGroup
	const writers, each = 4, 150
	for w := range writers {
		wg.Go(func() {
			for n := range each {
				if err := j.Append(entry(w*each + n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got := counts(read(t, late, 64))
	slices.Sort(got)
	if !slices.Equal(got, upTo(0, writers*each)) {
		t.Errorf("%d entries of %d", len(got), writers*each)
	}
	s := j.Stats()
	if s.Segments < 2 || s.Appended != writers*each || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

// TestBounds removes what is too much, and tells whom it was taken from.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	j.o.MaxBytes = MinMaxBytes
	slow, quick := cursor(t, j, "slow"), cursor(t, j, "quick")
	sum := 0
	for n := 0; n < 6000; n += 100 {
		fill(t, j, n, n+100)
		sum += len(read(t, quick, 50))
	}
	s := j.Stats()
	if s.Bytes > MinMaxBytes+1<<20 || s.Dropped == 0 {
		t.Errorf("stats %+v", s)
	}
	if sum != 6000 || quick.Dropped() != 0 {
		t.Errorf("the quick one has %d", sum)
	}
	rest := read(t, slow, 100)
	if lost := slow.Dropped(); lost+len(rest) != 6000 || uint64(lost) != s.Dropped || slow.Dropped() != 0 {
		t.Errorf("the slow one has %d, and %d were dropped", len(rest), lost)
	}
	if last := rest[len(rest)-1].Seq; last != 6000 || rest[0].Seq != uint64(6000-len(rest)+1) {
		t.Errorf("the slow one has %d to %d", rest[0].Seq, last)
	}
	fill(t, j, 0, 1)
	j.mu.Lock()
	j.o.Now = func() time.Time { return time.Now().Add(8 * 24 * time.Hour) }
	j.tidy()
	j.mu.Unlock()
	if n := j.Stats().Segments; n != 1 || slow.Pending() != 0 || slow.Dropped() != 1 {
		t.Errorf("%d segments after a week, %d entries to deliver", n, slow.Pending())
	}
}

// What every cursor has left behind is history, and not opened.
func TestHistoryIsNotOpened(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	j.o.MaxBytes = 4 << 20 // segments of 512 KiB
	c := cursor(t, j, "logs")
	fill(t, j, 0, 600)
	read(t, c, 100)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, options(t))
	opened := 0
	for _, s := range j.segments {
		if s.db != nil {
			opened++
		}
	}
	if len(j.segments) < 3 || opened != 1 {
		t.Errorf("%d of %d segments are open", opened, len(j.segments))
	}
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, options(t))
	if _, err := Open(dir, options(t)); !errors.Is(err, ErrLocked) {
		t.Errorf("a second one: %v", err)
	}
}

func TestDeadLettersAreSentAgain(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	logs, spans := cursor(t, j, "logs"), cursor(t, j, "spans", Whole, End)
	fill(t, j, 0, 5)
	must(logs.Next(t.Context(), 5))
	logs.SetAside(2, "invalid_argument")
	read(t, logs, 5)
	read(t, spans, 5)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, options(t))
	logs, spans = cursor(t, j, "logs"), cursor(t, j, "spans", Whole, End)
	letters := must(j.DeadLetters())
	if len(letters) != 2 || letters[0].Cause != "invalid_argument" || letters[1].Cursor != "logs" || j.Stats().DeadLetters != 2 {
		t.Fatalf("dead letters %+v", letters)
	}
	if n, err := j.Resend(); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if got := counts(read(t, logs, 5)); !slices.Equal(got, []int{0, 1}) {
		t.Errorf("sent again: %v", got)
	}
	if got := read(t, spans, 5); len(got) != 0 || spans.Pending() != 0 {
		t.Errorf("the other one has %v", counts(got))
	}
	if n := j.Stats().DeadLetters; n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
}

func TestScanBesideTheWriter(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, options(t))
	j.o.MaxBytes = 1 << 20
	s := must(NewScanner(dir))
	var got []int
	take := func(e Entry) error { got = append(got, int(e.Access.Count)-1); return nil }
	for n := 0; n < 300; n += 60 {
		fill(t, j, n, n+60)
		if err := s.Scan(time.Time{}, take); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, upTo(0, 300)) {
		t.Errorf("%d entries: %v", len(got), got)
	}
	later := must(NewScanner(dir))
	got = nil
	if err := later.Scan(time.Now().Add(time.Hour), take); err != nil || got != nil {
		t.Errorf("of later: %v, %v", got, err)
	}
	if _, err := NewScanner(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of none: %v", err)
	}
}
