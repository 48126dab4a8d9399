//go:build e2e

package e2e

import (
	"context"
	"flag"
	"math/rand/v2"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/backend"
	"github.com/beesting-otel/beesting/test/runtime/agentproc"
)

// killCount is for TestKills: a start takes ten seconds and more on an emulated
// processor, so many of them are a run of their own.
var killCount = flag.Int("kills", 0, "how often the agent is killed in TestKills")

// killPatience is for one of them, on a busy machine.
const killPatience = 60 * time.Second

// TestKills kills the agent again and again, at random moments, every fourth time
// while it still starts, while processes of a container touch a token, one after
// the other, and the back end refuses every now and then. Every touch arrives, as a
// log record of its own, and what comes twice does so under the same id.
// `make test-kills` runs it.
func TestKills(t *testing.T) {
	kills := *killCount
	if kills == 0 {
		t.Fatal("no -kills: run this test with `make test-kills`")
	}
	d := newDelivery(t)
	d.startAgent(t)
	d.box = d.runForever(t, pod{ns: "shop", name: "outage"})
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(kills)*killPatience+2*patience)
	defer cancel()
	begin, starting := time.Now(), 0
	// A process every 10 ms would leave an emulated processor no time for the agent.
	touched, enough := d.touches(ctx, 10*quick)
	for i := range kills {
		if i%4 == 3 {
			starting++
		} else if err := d.agent.WaitConnected(ctx); err != nil {
			t.Fatalf("%v\n%s", err, d.agent.LogTail())
		}
		if i%5 == 0 {
			d.back.Set(backend.Fault{Status: http.StatusServiceUnavailable})
		} else {
			d.back.Set(backend.Fault{})
		}
		time.Sleep(rand.N(2 * time.Second))
		if err := d.agent.Kill(); err != nil {
			t.Fatal(err)
		}
		var err error
		if d.agent, err = agentproc.Launch(d.config); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			t.Logf("%d kills, %.0f s: %d records have come", i+1, time.Since(begin).Seconds(), len(opens(d.back.Took())))
		}
	}
	d.back.Set(backend.Fault{})
	if err := d.agent.WaitConnected(ctx); err != nil {
		t.Fatalf("%v\n%s", err, d.agent.LogTail())
	}
	enough(t)
	n, err := strconv.Atoi(<-touched)
	if err != nil {
		t.Fatal(err)
	}
	d.recordsOf(ctx, t, n)
	d.end(t) // which delivers what is left
	took := d.back.Took()
	again := 0
	for _, r := range took.Records {
		again += r.Times - 1
	}
	t.Logf("%d kills, %d of them during the start, in %.0f s; %d touches, %d log records with ids of their own, %d came again with the same, %d spans",
		kills, starting, time.Since(begin).Seconds(), n, len(opens(took)), again, len(took.Spans))
	d.eachTold(t, n, took)
}
