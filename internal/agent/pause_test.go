package agent

import (
	"context"
	"errors"
	"testing"
	"time"
)

// What comes in a pause stays in the kernel's buffer, for when it is over or for
// the next Run.
func TestPause(t *testing.T) {
	f := newFixture(t)
	stop := runCore(t, f)
	f.sensor.Events <- event(1)
	if err := f.core.Pause(t.Context()); err != nil || !f.core.Paused() {
		t.Fatalf("paused %v, %v", f.core.Paused(), err)
	}
	delivered := func(want int, when string) {
		t.Helper()
		if got := len(f.sink.accesses()); got != want {
			t.Fatalf("%d delivered %s, want %d", got, when, want)
		}
	}
	delivered(1, "before the pause")
	f.sensor.Events <- event(1)
	time.Sleep(20 * time.Millisecond)
	delivered(1, "in the pause")
	f.core.Resume()
	if err := f.core.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	delivered(2, "after it")
	if err := f.core.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.sensor.Events <- event(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	delivered(2, "by a Run that ended in a pause")
	if err := runCore(t, f)(); err != nil {
		t.Fatal(err)
	}
	delivered(3, "by the next Run")
}

// Nobody reads, so nothing can be paused.
func TestPauseWithoutARun(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := f.core.Pause(ctx); !errors.Is(err, context.DeadlineExceeded) || f.core.Paused() {
		t.Errorf("paused %v, %v", f.core.Paused(), err)
	}
}
