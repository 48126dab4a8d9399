package journal

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// BenchmarkAppend is what an entry costs until it outlives the process: one at a
// time, as the sensor's reader appends them; by eight goroutines, which share
// commits; and in batches. A cursor reads along.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 256} {
		for _, writers := range []int{1, 8} {
			b.Run(fmt.Sprintf("batch=%d,writers=%d", batch, writers), func(b *testing.B) {
				j := open(b, b.TempDir(), options(b))
				c := cursor(b, j, "logs")
				var reader sync.WaitGroup
				defer reader.Wait()
				defer c.Release()
				reader.Go(func() {
					for {
						entries, err := c.Next(b.Context(), 256)
						if err != nil {
							return // Release
						}
						c.Ack(len(entries))
					}
				})
				b.ReportAllocs()
				before := processorTime(b)
				appendAll(b, j, batch, writers)
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "entries/s")
				// What a machine that does other things as well would reach alone.
				b.ReportMetric(float64((processorTime(b)-before).Nanoseconds())/1e3/float64(b.N*batch), "cpu-µs/entry")
			})
		}
	}
}

// processorTime is what this process has had, collector and reader included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func appendAll(b *testing.B, j *Journal, batch, writers int) {
	entries := make([]Entry, batch)
	for i := range entries {
		entries[i] = typical(beesting.AccessOpen, true)
		entries[i].Access.ID = beesting.AccessID([]byte(noise(i)[:16]))
		entries[i].Access.Process.PID = uint32(i)
	}
	var all sync.WaitGroup
	work := make(chan struct{})
	for range writers {
		all.Go(func() {
			for range work {
				if err := j.Append(entries...); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for b.Loop() {
		work <- struct{}{}
	}
	close(work)
	all.Wait()
}
