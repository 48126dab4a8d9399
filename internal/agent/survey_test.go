package agent

import (
	"testing"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

func TestSurvey(t *testing.T) {
	f := newFixture(t)
	hooked, bound := placement(1), placement(2)
	hooked.Token.Strategy, bound.Token.Strategy = beesting.StrategyHook, beesting.StrategyBind
	for _, p := range []beesting.Placement{hooked, bound} {
		if err := f.core.Arm(p, file(t)); err != nil {
			t.Fatal(err)
		}
	}
	tries := []struct {
		placement uint64
		kind      bpf.Kind
		actor     bpf.Actor
		told      bool
	}{
		{1, bpf.KindStat, bpf.ActorRuntime, false},
		{1, bpf.KindOpen, bpf.ActorRuntime, true},
		{1, bpf.KindStat, 0, true},
		{2, bpf.KindStat, bpf.ActorRuntime, true},
	}
	want := 0
	for _, try := range tries {
		e := event(try.placement)
		e.Kind, e.Actor = try.kind, try.actor
		f.core.take(t.Context(), e)
		if try.told {
			want++
		}
		if got := len(f.sink.accesses()); got != want {
			t.Errorf("%+v: %d accesses, want %d", try, got, want)
		}
	}
	if s, err := f.core.Stats(); err != nil || s.Surveyed != 1 || s.Delivered != 3 {
		t.Errorf("stats %+v, %v", s, err)
	}
}
