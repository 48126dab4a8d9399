package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/nri"
)

// crowd is how many containers a synchronization has while handlers are measured.
const crowd = 500

// BenchmarkHandlers measures Plant and Start, with real files and a sensor that is
// none, alone and while a synchronization of 500 containers is under way, which
// all lack their tokens. ns/op is both together.
func BenchmarkHandlers(b *testing.B) {
	for _, tokens := range []int{1, 16} {
		for _, busy := range []bool{false, true} {
			b.Run(fmt.Sprintf("tokens=%d/synchronizing=%v", tokens, busy), func(b *testing.B) { benchmarkHandlers(b, tokens, busy) })
		}
	}
}

func benchmarkHandlers(b *testing.B, tokens int, busy bool) {
	a, proc, root := benchAgent(b, tokens)
	var background sync.WaitGroup
	ctx, stop := context.WithCancel(b.Context())
	if busy {
		snapshot := benchSnapshot(b, proc)
		background.Go(func() {
			for ctx.Err() == nil {
				a.Synchronize(ctx, snapshot)
				for _, c := range snapshot.Containers { // the next one has as much to do
					a.bare(c.ID)
				}
				snapshot.Received = time.Now()
			}
		})
	}
	var plant, start []time.Duration
	for i := 0; b.Loop(); i++ {
		c := testContainer(fmt.Sprint("bench", i))
		began := time.Now()
		adjust := a.Plant(b.Context(), c)
		plant = append(plant, time.Since(began))
		b.StopTimer()
		if len(adjust.Mounts) != tokens {
			b.Fatalf("%d tokens planted: %v", len(adjust.Mounts), a.Status().Failures)
		}
		c.Mounts, c.PID, c.State = append(c.Mounts, adjust.Mounts...), 100_000, nri.StateCreated
		benchProcess(b, proc, c, root)
		b.StartTimer()
		began = time.Now()
		a.Start(b.Context(), c)
		start = append(start, time.Since(began))
		b.StopTimer()
		a.Remove(b.Context(), c)
		b.StartTimer()
	}
	stop()
	background.Wait()
	report(b, "plant", plant)
	report(b, "start", start)
}

// bare has the agent take a container for one that has no tokens.
func (a *Agent) bare(id string) {
	if !a.locks.acquire(context.Background(), id) {
		return
	}
	defer a.locks.release(id)
	if t, ok := a.tenant(id); ok {
		for _, p := range t.planted {
			a.uproot(t.describe(), p)
		}
	}
	a.edit(id, func(t *tenant) { t.planted = nil })
	_ = a.state.RemoveRecord(id)
}

func benchAgent(b *testing.B, tokens int) (a *Agent, proc procTree, root string) {
	b.Helper()
	n := newNode(b, func(o *CoreOptions) { o.MaxPlacements = 100_000 })
	n.tokens = nil
	for i := range tokens {
		t := awsToken()
		t.Name, t.Path = fmt.Sprint("token-", i), fmt.Sprint("/opt/", i, "/credentials")
		n.tokens = append(n.tokens, t)
	}
	return n.agent, n.proc, b.TempDir()
}

func benchSnapshot(b *testing.B, proc procTree) nri.Snapshot {
	b.Helper()
	s := nri.Snapshot{Received: time.Now()}
	for i := range crowd {
		c := testContainer(fmt.Sprint("crowd", i))
		c.PID, c.State = 1000+i, nri.StateRunning
		benchProcess(b, proc, c, filepath.Join(b.TempDir(), itoa(i)))
		s.Containers = append(s.Containers, c)
	}
	return s
}

// benchProcess gives a container a process; its tokens are links in root.
func benchProcess(b *testing.B, proc procTree, c nri.Container, root string) {
	b.Helper()
	proc.process(b, c.PID, "runc", 100, "0::/kubepods/"+c.ID+"\n")
	for _, m := range c.Mounts {
		target := filepath.Join(root, m.Destination)
		if filepath.Base(target) != "credentials" {
			continue
		}
		_ = os.MkdirAll(filepath.Dir(target), 0o755)
		_ = os.Remove(target)
		if err := os.Link(m.Source, target); err != nil {
			b.Fatal(err)
		}
	}
	_ = os.MkdirAll(root, 0o755)
	link := filepath.Join(proc.dir, itoa(c.PID), "root")
	_ = os.Remove(link)
	if err := os.Symlink(root, link); err != nil {
		b.Fatal(err)
	}
}

func report(b *testing.B, what string, all []time.Duration) {
	b.Helper()
	slices.Sort(all)
	for _, q := range []struct {
		name string
		at   int
	}{{"p50", len(all) / 2}, {"p99", len(all) * 99 / 100}} {
		b.ReportMetric(float64(all[q.at].Microseconds()), what+"-"+q.name+"-µs")
	}
}
