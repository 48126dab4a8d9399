package agentproc

import (
	"context"
	"errors"
	"testing"
	"time"
)

func all(Record) bool { return true }

func TestRecordsComeByTheLine(t *testing.T) {
	r := newRecords()
	for _, s := range []string{`{"event_name":"a","attributes":{"n":7,"l":["x","y"]}}` + "\n" + `{"event_`, `name":"b","resource":{"k":"v"}}`, "\n"} {
		if n, err := r.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	got, err := r.All(all)
	if err != nil || len(got) != 2 || got[0].EventName != "a" || got[1].EventName != "b" {
		t.Fatalf("%+v, %v", got, err)
	}
	if n, ok := got[0].Int("n"); n != 7 || !ok {
		t.Errorf("n is %d, %t", n, ok)
	}
	if l := got[0].Texts("l"); len(l) != 2 || l[1] != "y" {
		t.Errorf("l is %q", l)
	}
	if got[1].Text("k") != "v" || got[1].Text("absent") != "" {
		t.Errorf("%+v", got[1])
	}
}

func TestRecordsThatAreNone(t *testing.T) {
	r := newRecords()
	_, _ = r.Write([]byte("panic: oh\n"))
	if _, err := r.All(all); err == nil {
		t.Error("a line that is no record and no error")
	}
}

func TestWait(t *testing.T) {
	r := newRecords()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		for range 3 {
			_, _ = r.Write([]byte("{}\n"))
		}
	}()
	if got, err := r.Wait(ctx, 3, all); err != nil || len(got) != 3 {
		t.Errorf("%d records, %v", len(got), err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if got, err := r.Wait(short, 4, all); !errors.Is(err, context.DeadlineExceeded) || len(got) != 3 {
		t.Errorf("%d records, %v", len(got), err)
	}
}
