package journal

import (
	"fmt"
	"sync"
	"testing"
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
				appendAll(b, j, batch, writers)
				b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "entries/s")
			})
		}
	}
}

func appendAll(b *testing.B, j *Journal, batch, writers int) {
	entries := make([]Entry, batch)
	for i := range entries {
		entries[i] = entry(i)
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
