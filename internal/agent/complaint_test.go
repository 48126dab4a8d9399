package agent

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// What the sink refuses is counted once and logged in a few lines, however often
// the books come again with it, and every access is in one of these lines.
func TestRefusedIsCountedOnce(t *testing.T) {
	const n = 50
	var log bytes.Buffer
	f := newFixture(t, func(o *CoreOptions) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	if err := f.core.Arm(placement(1), file(t)); err != nil {
		t.Fatal(err)
	}
	f.core.booksEvery = time.Millisecond
	f.sink.refuse = errors.New("full")
	for i := range uint32(n) {
		f.sensor.Act(by(40+i, 90*time.Second), true)
	}
	stop := runCore(t, f)
	until(t, "refused again", func() bool { s, _ := f.core.Stats(); return s.SinkErrors > 3*n })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, err := f.core.Stats()
	if err != nil || s.Deferred != n || s.Lost[LostRefused] != 0 || s.Delivered != 0 {
		t.Errorf("%+v, %v: want %d put off", s, err, n)
	}
	text := log.String()
	if strings.Count(text, "level=ERROR") != 2 || !strings.Contains(text, "accesses=1 ") || !strings.Contains(text, "accesses=49 ") {
		t.Errorf("log:\n%s", text)
	}
	f.sink.refuse = nil
	if err := runCore(t, f)(); err != nil {
		t.Fatal(err)
	}
	sum := uint64(0)
	for _, a := range f.sink.accesses() {
		sum += a.Count
	}
	if s, _ := f.core.Stats(); sum != n || len(f.sink.gaps) != 0 || s.Deferred != n {
		t.Errorf("%d touches told, gaps %+v, stats %+v", sum, f.sink.gaps, s)
	}
}
