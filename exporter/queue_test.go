package exporter

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// numbersIn are the counts of a batch, which the tests number the accesses with.
func numbersIn(batch []item) []uint64 {
	var out []uint64
	for _, it := range batch {
		out = append(out, it.access.Count)
	}
	return out
}

// TestQueueIsASource checks the rules of source that a pipeline relies on.
func TestQueueIsASource(t *testing.T) {
	q := newQueue(5)
	var src source = q
	for n := range uint64(7) {
		accepted, open := q.put(item{access: &beesting.Access{Count: n}})
		if accepted != (n < 5) || !open {
			t.Errorf("put %d: accepted %v, open %v", n, accepted, open)
		}
	}
	next := func(limit int, want ...uint64) {
		t.Helper()
		batch, err := src.Next(t.Context(), limit)
		got := numbersIn(batch)
		if err != nil || len(got) != len(want) {
			t.Fatalf("next %d: %v, %v; want %v", limit, got, err, want)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("next %d: %v, want %v", limit, got, want)
			}
		}
	}
	next(3, 0, 1, 2)
	next(3, 0, 1, 2) // the cursor stays
	src.Ack(2)
	next(10, 2, 3, 4)
	src.SetAside(1, "bad")
	next(1, 3)
	if accepted, _ := q.put(item{access: &beesting.Access{Count: 9}}); !accepted {
		t.Error("no room after an acknowledgement")
	}
	q.close()
	if accepted, open := q.put(item{access: &beesting.Access{}}); accepted || open {
		t.Error("a closed queue took something")
	}
	next(10, 3, 4, 9) // what is in it stays
	src.Ack(3)
	if _, err := src.Next(t.Context(), 1); !errors.Is(err, io.EOF) {
		t.Errorf("closed and empty: %v", err)
	}
}

func TestQueueWaits(t *testing.T) {
	q := newQueue(1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := q.Next(ctx, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("an empty queue: %v", err)
	}
	got := make(chan error)
	go func() {
		_, err := q.Next(t.Context(), 1)
		got <- err
	}()
	q.put(item{access: &beesting.Access{}})
	if err := <-got; err != nil {
		t.Error(err)
	}
	q.Ack(1)
	go func() {
		_, err := q.Next(t.Context(), 1)
		got <- err
	}()
	q.close()
	if err := <-got; !errors.Is(err, io.EOF) {
		t.Errorf("a queue closed while waiting: %v", err)
	}
}

// What was taken out of the middle makes room and leaves the order alone.
func TestQueueTake(t *testing.T) {
	q := newQueue(6)
	for n := range uint64(6) {
		q.put(item{access: &beesting.Access{Count: n}})
	}
	q.Take([]int{0, 2, 3})
	if accepted, _ := q.put(item{access: &beesting.Access{Count: 9}}); !accepted || q.len() != 4 {
		t.Errorf("accepted %v, %d in the queue", accepted, q.len())
	}
	batch, err := q.Next(t.Context(), 10)
	if got := numbersIn(batch); err != nil || !slices.Equal(got, []uint64{1, 4, 5, 9}) {
		t.Errorf("left %v, %v", got, err)
	}
}

// A queue that is drained gives what was in it and doesn't wait; what comes
// meanwhile stays in it. One that was closed can be opened again.
func TestQueueDrainAndOpen(t *testing.T) {
	q := newQueue(10)
	for n := range uint64(5) {
		q.put(item{access: &beesting.Access{Count: n}})
	}
	q.drain(true)
	next := func(want ...uint64) {
		t.Helper()
		batch, err := q.Next(t.Context(), 2)
		if got := numbersIn(batch); !slices.Equal(got, want) || (err != nil) != (len(want) == 0) || (err != nil && !errors.Is(err, io.EOF)) {
			t.Errorf("next: %v, %v, want %v", got, err, want)
		}
	}
	next(0, 1)
	q.put(item{access: &beesting.Access{Count: 5}})
	next(0, 1) // the cursor stays
	q.Ack(2)
	next(2, 3)
	q.Take([]int{1})
	next(2, 4)
	q.Ack(1)
	next(4)
	q.SetAside(1, "bad")
	next()
	q.put(item{access: &beesting.Access{Count: 6}})
	next()
	if q.len() != 2 {
		t.Errorf("%d in the queue, want the two that came late", q.len())
	}
	q.drain(false)
	next(5, 6)
	q.close()
	if err := q.open(); err != nil {
		t.Fatal(err)
	}
	if accepted, open := q.put(item{access: &beesting.Access{}}); !accepted || !open || q.discard() != 3 || q.len() != 0 {
		t.Errorf("opened again: accepted %v, open %v", accepted, open)
	}
}
