package collectorproc

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestMetricsOfTheTextFormat(t *testing.T) {
	m, err := parseMetrics(`# HELP a what it is
# TYPE a counter
a_total{signal="logs",cause="queue_full"} 7
a_total{signal="traces",cause="say \"no\", }"} 3
b 1.5e+03
c{} 2
`)
	if err != nil || len(m) != 4 {
		t.Fatalf("%+v, %v", m, err)
	}
	if sum, ok := m.Sum("a"); sum != 10 || !ok {
		t.Errorf("a is %v, %t", sum, ok)
	}
	if sum, ok := m.Sum("a", "signal", "logs", "cause", "queue_full"); sum != 7 || !ok {
		t.Errorf("a of logs is %v, %t", sum, ok)
	}
	if got := m[1].Labels["cause"]; got != `say "no", }` {
		t.Errorf("cause is %q", got)
	}
	if sum, ok := m.Sum("b"); sum != 1500 || !ok {
		t.Errorf("b is %v, %t", sum, ok)
	}
	if _, ok := m.Sum("a", "signal", "metrics"); ok {
		t.Error("a series that is not there is found")
	}
	if with := m.With("a"); len(with) != 2 {
		t.Errorf("%d series of a", len(with))
	}
	for _, bad := range []string{"a{b} 1", `a{b="c} 1`, "a one", "{} 1"} {
		if m, err := parseMetrics(bad); err == nil {
			t.Errorf("%q gives %+v", bad, m)
		}
	}
}

func TestGoroutinesOfADump(t *testing.T) {
	g, err := parseDump("some log line\nSIGQUIT: quit\nPC=0x1 m=0 sigcode=0\n\n" +
		"goroutine 1 gp=0xc0 m=nil [select]:\nmain.main()\n\t/x.go:1\n\n" +
		"goroutine 7 gp=0xc1 m=nil [chan receive, 2 minutes]:\na/b.(*T).run(0x1)\n\t/b.go:3 +0x1\ncreated by a/b.Start in goroutine 1\n\t/b.go:2 +0x2\n\n" +
		"goroutine 9 [IO wait]:\nnet.x()\n\t/n.go:3\na/b.(*T).run(...)\n\t/b.go:9\nruntime.goexit({})\n\t/asm.s:1\ncreated by a/b.Start in goroutine 7\n\t/b.go:2\n\n" +
		"goroutine 10 [IO wait]:\nc/d.(*S).Serve.func1({0x1, 0x2})\n\t/n.go:3\n" +
		"sync.(*WaitGroup).Go.func1()\n\t/w.go:3\ncreated by sync.(*WaitGroup).Go in goroutine 1\n\t/b.go:2\n\nrax 0x0\nrbx 0x1\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(g) != 3 || g["main.main"] != 1 || g["a/b.(*T).run"] != 2 || g.Of("a/") != 2 || g.Of("c/d.") != 1 {
		t.Errorf("%v", g)
	}
	if g, err := parseDump("exit status 1\n"); err == nil {
		t.Errorf("no dump, and %v", g)
	}
}

func TestWaitLog(t *testing.T) {
	l := newLog()
	go func() {
		for range 2 {
			_, _ = l.Write([]byte("re"))
			_, _ = l.Write([]byte("ady\n"))
		}
	}()
	if err := l.WaitLog(t.Context(), "ready", 2); err != nil {
		t.Fatal(err)
	}
	mark := l.Len()
	_, _ = l.Write([]byte("after"))
	if got := l.From(mark); got != "after" {
		t.Errorf("%q", got)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := l.WaitLog(short, "ready", 3); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	l.end()
	if err := l.WaitLog(t.Context(), "ready", 3); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
}
