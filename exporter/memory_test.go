package exporter

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// The bounds of what the kernel side hands over, in bytes, with bpf.MaxArgs
// arguments and bpf.MaxAncestors ancestors.
const (
	kernelPath   = 1024 // of the executable
	kernelCwd    = 512
	kernelArgs   = 1024 // all arguments
	kernelDetail = 255
	kernelComm   = 15
)

// fresh is a string of so many bytes that shares its memory with no other one.
func fresh(n int) string { return strings.Repeat("x", n) }

// usualAccess and largestAccess are what an agent makes of an event, with memory
// of their own.
func usualAccess() beesting.Access {
	a := sharing(sampleAccess())
	a.Process.Args = []string{fresh(3), fresh(24)}
	a.Process.Comm = fresh(4)
	a.Process.Executable, a.Process.WorkingDirectory = fresh(16), fresh(16)
	a.Process.Ancestors = []beesting.Ancestor{{PID: 1, StartTime: at, Comm: fresh(4)}, {PID: 2, StartTime: at, Comm: fresh(4)}}
	return a
}

func largestAccess() beesting.Access {
	a := sharing(outsiderAccess())
	a.Process.Executable, a.Process.WorkingDirectory = fresh(kernelPath), fresh(kernelCwd)
	a.Process.Args = make([]string, maxArgs)
	args := fresh(kernelArgs) // one piece, cut at its zero bytes
	for i := range a.Process.Args {
		a.Process.Args[i] = args[i*kernelArgs/maxArgs : (i+1)*kernelArgs/maxArgs]
	}
	a.Process.Comm, a.Detail = fresh(kernelComm), fresh(kernelDetail)
	a.Process.Ancestors = make([]beesting.Ancestor, beesting.MaxAncestors)
	for i := range a.Process.Ancestors {
		a.Process.Ancestors[i] = beesting.Ancestor{PID: 1, StartTime: at, Comm: fresh(kernelComm)}
	}
	a.Partial = []string{"process.args", "process.executable", "process.working_directory", "honeytoken.access.detail"}
	return a
}

// sharing is a with the one container that all accesses of a placement refer to.
func sharing(a beesting.Access) beesting.Access {
	a.Placement.Container = sharedContainer
	if a.ActorContainer != nil {
		a.ActorContainer = sharedContainer
	}
	return a
}

var sharedContainer = sampleContainer()

// An access that waits takes no more memory than the documentation of the queue
// says: for both signals together, and also when its span comes with its end and
// the log record still waits.
func TestMemoryOfAnAccess(t *testing.T) {
	for _, c := range []struct {
		name  string
		make  func() beesting.Access
		limit uint64
	}{
		{"usual", usualAccess, 2 << 10},
		{"largest", largestAccess, 8 << 10},
	} {
		for _, lasts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, ongoing %t", c.name, lasts), func(t *testing.T) {
				const n = 2000
				p := newTestPData(t, n)
				p.logs.wanted.Store(true)
				p.traces.wanted.Store(true)
				before := heap()
				for range n {
					a := c.make()
					a.Ongoing = lasts
					if err := p.Deliver(t.Context(), a); err != nil {
						t.Fatal(err)
					}
					a.EndTime = at.Add(time.Second)
					if !lasts {
						continue
					}
					if err := p.End(t.Context(), a); err != nil {
						t.Fatal(err)
					}
				}
				each := (heap() - before) / n
				t.Logf("%d bytes", each)
				if p.logs.queue.len() != n || p.traces.queue.len() != n || each > c.limit || each < 100 {
					t.Errorf("%d bytes for an access, at most %d are promised", each, c.limit)
				}
			})
		}
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
