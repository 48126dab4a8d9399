package agent

import (
	"testing"
	"time"
)

func TestSystemClock(t *testing.T) {
	c := SystemClock()
	a, err := c.sample()
	if err != nil || a.boot <= 0 || time.Since(a.now) > time.Minute {
		t.Fatalf("%+v, %v", a, err)
	}
	time.Sleep(2 * time.Millisecond)
	if b, err := c.sample(); err != nil || b.boot <= a.boot {
		t.Errorf("boot clock stands still: %v, %v, %v", a.boot, b.boot, err)
	}
	if got := a.at(0); !got.IsZero() {
		t.Errorf("unknown time: %v", got)
	}
}
