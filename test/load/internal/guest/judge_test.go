//go:build linux

package main

import (
	"strings"
	"testing"
	"time"
)

// fine is a flood by two processes on two tokens in which everything holds.
func fine(t *testing.T) *flooded {
	t.Helper()
	r := &flooded{
		settings: settings{processes: 2, duration: time.Second}, tokens: 2, told: newTold(),
		opens: []uint64{5, 5}, samples: make([]usage, 4),
	}
	isReady := make(chan struct{})
	r.told.read(strings.NewReader(`R {"Mode":"lsm"}
A 11 1 open host 1 true
A 11 2 open host 3 false
A 12 1 open host 1 false
A 12 2 open host 1 false
E 11 1 true
G 1 open 4 ring_full
B {"Placements":2,"Seen":{"open":10},"Delivered":4,"Coalesced":2,"Lost":4}
`), isReady)
	<-isReady
	if len(r.told.malformed) > 0 || r.told.ends != 1 {
		t.Fatalf("%+v", r.told)
	}
	return r
}

func TestJudgeHolds(t *testing.T) {
	if err := fine(t).judge(); err != nil {
		t.Error(err)
	}
}

func TestJudgeFindsWhatDoesNotHold(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*flooded)
		want  string
	}{
		"an open that nobody counted":  {func(r *flooded) { r.opens[0]++ }, "11 opens were made"},
		"a kind that nobody made":      {func(r *flooded) { r.told.books.Seen["stat"] = 1 }, "10 opens were made"},
		"an uneven placement":          {func(r *flooded) { r.told.books.Uneven = []string{"placement 1"} }, "sum doesn't hold"},
		"a forgotten placement":        {func(r *flooded) { r.told.books.Placements = 1 }, "1 placements counted"},
		"a first touch that is gone":   {func(r *flooded) { delete(r.told.accesses, key{12, 2}) }, "first touches of 3 pairs"},
		"an access that was not told":  {func(r *flooded) { r.told.lines-- }, "the sink was given 3"},
		"a touch that was told twice":  {func(r *flooded) { r.told.touches++ }, "the sink was given 4 and 11"},
		"a gap that was not told":      {func(r *flooded) { r.told.gaps["ring_full"] = 0 }, "the sink was given 4 and 6"},
		"an error of the sink":         {func(r *flooded) { r.told.books.Stats.SinkErrors = 1 }, "1 errors"},
		"memory that grows":            {func(r *flooded) { r.samples[3].rss = grownAtMost + 1 }, "memory grew"},
		"a span without an end":        {func(r *flooded) { r.told.ends = 0 }, "1 opens went on"},
		"a line that makes no sense":   {func(r *flooded) { r.told.malformed = []string{"x"} }, "make no sense"},
		"an agent that ended too soon": {func(r *flooded) { r.told.books = nil }, "no books"},
		"too little after a kill": {func(r *flooded) {
			r.kill = true
			r.told.touches--
		}, "the sink was given 9"},
	} {
		t.Run(name, func(t *testing.T) {
			r := fine(t)
			tc.spoil(r)
			if err := r.judge(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestJudgeAllowsAToldTwiceAfterAKill(t *testing.T) {
	r := fine(t)
	r.kill = true
	r.told.touches, r.told.lines = r.told.touches+7, r.told.lines+2
	r.told.malformed = []string{"A 11 2 op"}
	if err := r.judge(); err != nil {
		t.Error(err)
	}
}

func TestUsageOfThisProcess(t *testing.T) {
	u, err := usageOf(1)
	if err != nil {
		t.Fatal(err)
	}
	if u.rss == 0 {
		t.Error("process 1 has no memory")
	}
}
