package state

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkWriteRecord is what a handler of the runtime's request waits for, in
// ns/op, beside what a commit takes, which nobody waits for: ms/commit, and how
// many records each had. The disk is the one that TMPDIR is on.
func BenchmarkWriteRecord(b *testing.B) {
	d, err := Open(b.TempDir(), Options{CloseTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]Record, 500) // containers of a full node
	for i := range ids {
		ids[i] = planting(fmt.Sprintf("%064d", i), tokenID("x"), tokenID("y"), tokenID("z"))
	}
	i := 0
	for b.Loop() {
		if err := d.WriteRecord(ids[i%len(ids)]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	s := d.Stats()
	b.ReportMetric(s.CommitSeconds*1000, "ms/commit")
	b.ReportMetric(float64(s.Commits), "commits")
}
