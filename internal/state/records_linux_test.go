package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func openWith(t *testing.T, path string, o Options) *Dir {
	t.Helper()
	if o.CloseTimeout == 0 {
		o.CloseTimeout = time.Minute // a busy machine is no fault
	}
	d, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// eventually waits for what the writer does in its own time.
func eventually(t *testing.T, d *Dir, what string, ok func(Stats) bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(d.Stats()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%s: not after 20 s: %+v\n%s", what, d.Stats(), stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func flushed(s Stats) bool { return s.Pending == 0 && s.Commits > 0 && s.Error == "" }

// tokenID makes a canary id that begins with s.
func tokenID(s string) string { return s + strings.Repeat("a", tokenIDLength-len(s)) }

func planting(container string, ids ...string) Record {
	r := Record{Container: container, Namespace: "shop"}
	for i, id := range ids {
		r.Tokens = append(r.Tokens, Token{
			Name: fmt.Sprintf("t%d", i), Path: "/p", ID: id, PlantedAt: time.Unix(int64(1000+i), 0).UTC(),
		})
	}
	return r
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func foundIn(t *testing.T, find func(string) ([]Found, error), prefix string) []string {
	t.Helper()
	all, err := find(prefix)
	if err != nil {
		t.Errorf("%s: %v", prefix, err)
	}
	var got []string
	for _, f := range all {
		got = append(got, f.Record.Container+"/"+f.Token.Name)
	}
	return got
}

func TestByTokenID(t *testing.T) {
	path := t.TempDir()
	at := time.Now().Round(0)
	d := openWith(t, path, Options{Now: func() time.Time { return at }})
	must(t, d.WriteRecord(planting("c1", tokenID("xyz2"), tokenID("xyz3"))), d.WriteRecord(planting("c2", tokenID("xyz4"), "")),
		d.WriteRecord(planting("c3", "not a token id")), d.RemoveRecord("c1"), d.RemoveRecord("c3"))
	check := func(when string, find func(string) ([]Found, error)) {
		t.Helper()
		for prefix, want := range map[string][]string{
			"xyz": {"c1/t1", "c1/t0", "c2/t0"}, "xyz2": {"c1/t0"}, tokenID("xyz4"): {"c2/t0"}, "xyz7": nil,
		} {
			if got := foundIn(t, find, prefix); !slices.Equal(got, want) {
				t.Errorf("%s: %s: found %v, want %v", when, prefix, got, want)
			}
		}
		all, err := find("xyz2")
		if err != nil || len(all) != 1 || !all[0].Record.RemovedAt.Equal(at) || all[0].Record.Namespace != "shop" {
			t.Errorf("%s: %+v, %v", when, all, err)
		}
		for _, bad := range []string{"", "XYZ", "x1", strings.Repeat("a", 27), "\xff"} {
			if _, err := find(bad); err == nil {
				t.Errorf("%s: prefix %q accepted", when, bad)
			}
		}
	}
	check("at once", d.ByTokenID)
	eventually(t, d, "commit", flushed)
	check("on disk", d.ByTokenID)
	beside, err := OpenReadOnly(path)
	must(t, err)
	check("beside an agent", beside.ByTokenID)
	must(t, d.Close())
	alone, err := OpenReadOnly(path)
	must(t, err)
	check("without an agent", alone.ByTokenID)
	d = open(t, path)
	check("after a restart", d.ByTokenID)
	// Written and removed again, as by an agent that was killed in between.
	must(t, d.WriteRecord(planting("c1", tokenID("xyz2"), tokenID("xyz3"))), d.RemoveRecord("c1"))
	if got := foundIn(t, d.ByTokenID, "xyz2"); !slices.Equal(got, []string{"c1/t0"}) {
		t.Errorf("removed twice: %v", got)
	}
	if _, err := OpenReadOnly(filepath.Join(path, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// history reads the history of a closed directory: containers in order, and how
// many ids the index has.
func historyOf(t *testing.T, path string) (containers []string, ids, count int) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(path, databaseName), 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	must(t, err)
	defer db.Close()
	must(t, db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt: %v", err)
		}
		count = readCount(tx.Bucket([]byte(bucketMeta)))
		_ = tx.Bucket([]byte(bucketRemoved)).ForEach(func(k, _ []byte) error {
			containers = append(containers, string(k[8:]))
			return nil
		})
		return tx.Bucket([]byte(bucketTokens)).ForEach(func(_, _ []byte) error { ids++; return nil })
	}))
	return containers, ids, count
}

func TestHistoryIsBounded(t *testing.T) {
	path := t.TempDir()
	var now atomic.Int64 // the writer asks too
	now.Store(1_700_000_000)
	o := Options{Now: func() time.Time { return time.Unix(now.Load(), 0) }, MaxHistory: 5, MaxAge: time.Hour}
	d := openWith(t, path, o)
	for i := range 6 {
		c := fmt.Sprintf("c%d", i)
		must(t, d.WriteRecord(planting(c, tokenID(string(rune('b'+i))+"x"), tokenID(string(rune('b'+i))+"y"))), d.RemoveRecord(c))
		now.Add(60)
	}
	must(t, d.Close())
	if got, ids, n := historyOf(t, path); !slices.Equal(got, []string{"c4", "c5"}) || ids != 4 || n != 4 {
		t.Errorf("by number: %v, %d ids, %d placements", got, ids, n)
	}
	now.Add(3600 - 90) // c4 is older than an hour
	d = openWith(t, path, o)
	eventually(t, d, "tidying", func(s Stats) bool { return s.Commits == 1 && s.History == 2 })
	must(t, d.Close())
	if got, ids, n := historyOf(t, path); !slices.Equal(got, []string{"c5"}) || ids != 2 || n != 2 {
		t.Errorf("by age: %v, %d ids, %d placements", got, ids, n)
	}
}

// A disk that doesn't answer: nobody waits, everything can be read, Close gives
// up and the directory stays locked until the disk has answered.
func TestSlowDisk(t *testing.T) {
	path := t.TempDir()
	answer := make(chan struct{})
	d := openWith(t, path, Options{CloseTimeout: 50 * time.Millisecond, Step: func(name string) {
		if name == "batch taken" { // the writer's, as an fsync would
			<-answer
		}
	}})
	began := time.Now()
	for i := range 500 {
		must(t, d.WriteRecord(planting(fmt.Sprint("c", i), tokenID("x"))))
		if i%2 == 0 {
			must(t, d.RemoveRecord(fmt.Sprint("c", i)))
		}
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("500 containers took %v", took)
	}
	if _, err := d.Record("c1"); err != nil {
		t.Error(err)
	}
	if s := d.Stats(); s.Containers != 250 || s.Pending != 500 || s.PendingSince.Before(began) {
		t.Errorf("%+v", s)
	}
	if err := d.Close(); !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "500 are not on disk") {
		t.Errorf("close: %v", err)
	}
	if _, err := Open(path, Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("while the writer is at it: %v, want ErrLocked", err)
	}
	close(answer)
	<-d.records.done
	must(t, d.Close())
	d = open(t, path)
	if s := d.Stats(); s.Containers != 250 || s.History != 250 {
		t.Errorf("after it: %+v", s)
	}
}

// hold keeps the writer from its file, as a reader that hangs does.
func hold(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(path, databaseName), os.O_RDWR|os.O_CREATE, 0o600)
	must(t, err)
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_SH))
	return func() { _ = f.Close() }
}

func TestFailedCommitsAreRetried(t *testing.T) {
	path := t.TempDir()
	release := hold(t, path)
	var log strings.Builder
	d := openWith(t, path, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	must(t, d.WriteRecord(planting("c1", tokenID("x"))), d.WriteRecord(planting("c2", tokenID("y"))))
	eventually(t, d, "failure", func(s Stats) bool { return s.FailedCommits >= 2 })
	must(t, d.RemoveRecord("c1"))
	if s := d.Stats(); s.Pending != 2 || !strings.Contains(s.Error, ErrBusy.Error()) || s.PendingSince.IsZero() || s.Commits != 0 {
		t.Errorf("%+v", s)
	}
	if got := foundIn(t, d.ByTokenID, "x"); !slices.Equal(got, []string{"c1/t0"}) {
		t.Errorf("not on disk yet: %v", got)
	}
	release()
	eventually(t, d, "recovery", flushed)
	must(t, d.Close())
	if n := strings.Count(log.String(), "can't be written"); n != 1 || strings.Count(log.String(), "written again") != 1 {
		t.Errorf("log:\n%s", log.String())
	}
	d = open(t, path)
	if s := d.Stats(); s.Containers != 1 || s.History != 1 {
		t.Errorf("%+v", s)
	}
}

func TestCloseTellsWhatIsNotWritten(t *testing.T) {
	path := t.TempDir()
	defer hold(t, path)()
	d := openWith(t, path, Options{})
	must(t, d.WriteRecord(planting("c1", tokenID("x"))))
	if err := d.Close(); err == nil || !strings.Contains(err.Error(), "1 are not on disk: record database: in use") {
		t.Errorf("close: %v", err)
	}
	open(t, path) // all the same, the lock is free
}

// A tool that asks while the writer is at it waits for a second at most.
func TestReaderBesideCommit(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	must(t, d.WriteRecord(planting("c1", tokenID("x"))), d.Close())
	f, err := os.OpenFile(filepath.Join(path, databaseName), os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	must(t, syscall.Flock(int(f.Fd()), syscall.LOCK_EX))
	if _, err := OpenReadOnly(path); !errors.Is(err, ErrBusy) {
		t.Errorf("%v, want ErrBusy", err)
	}
}

// What waits for the history is bounded.
func TestPendingHistoryIsBounded(t *testing.T) {
	path := t.TempDir()
	release := hold(t, path)
	d := openWith(t, path, Options{})
	eventually(t, d, "failure", func(s Stats) bool { return s.FailedCommits > 0 })
	for i := range maxPendingGone + 3 {
		must(t, d.WriteRecord(planting(fmt.Sprint("c", i), tokenID("x"))), d.RemoveRecord(fmt.Sprint("c", i)))
	}
	if s := d.Stats(); s.Dropped != 3 {
		t.Errorf("%+v", s)
	}
	release()
	eventually(t, d, "recovery", flushed)
	if s := d.Stats(); s.History != maxPendingGone {
		t.Errorf("%+v", s)
	}
}

func TestConcurrentUse(t *testing.T) {
	d := openWith(t, t.TempDir(), Options{MaxHistory: 50})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error)
	for w := range 4 {
		go func() {
			var err error
			for i := 0; err == nil && ctx.Err() == nil; i++ {
				c := fmt.Sprintf("c%d-%d", w, i%20)
				id := tokenID("x" + string(rune('a'+w)) + string(rune('a'+i%20)))
				err = errors.Join(d.WriteRecord(planting(c, id)), func() error { _, err := d.Record(c); return err }())
				if all, errFind := d.ByTokenID(id); errFind != nil || len(all) != 1 {
					err = errors.Join(err, errFind, fmt.Errorf("%s: found %d", c, len(all)))
				}
				if i%3 == 0 {
					err = errors.Join(err, d.RemoveRecord(c))
				}
				_ = d.Stats()
			}
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
