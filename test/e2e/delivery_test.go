//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/backend"
	"github.com/beesting-otel/beesting/test/collector"
)

var outage = flag.Duration("outage", 10*time.Second, "how long a back end is away or faulty in TestDelivery")

// maxRSS bounds the agent's memory in TestDelivery, whatever the fault.
const maxRSS = 100 << 10 // KiB

const deliveryTokens = `tokens:
  - {name: db, path: ` + dbPath + `, content: hunter2}
match: {namespaces: [shop]}
`

// delivery is one containerd and one container, whose token is touched by one
// process after the other while the back end has some trouble.
type delivery struct {
	suite
	back  *backend.Backend
	box   *box
	runs  int
	table strings.Builder
}

// trouble is something that befalls a back end, or the disk, for a while.
type trouble struct {
	name string
	env  []string // in place of the back end's address
	// begin and end are called while the token is touched. What is between them
	// takes as long as -outage says.
	begin, end func(*testing.T)
	// lasts is used in place of -outage if set.
	lasts time.Duration
}

// TestDelivery: whatever befalls the back end, each touch arrives, as a log record
// and as a span, under one id; `make test-delivery` runs it, and prints what came.
func TestDelivery(t *testing.T) {
	d := newDelivery(t)
	d.ownDisk(t)
	d.startAgent(t)
	d.box = d.runForever(t, pod{ns: "shop", name: "outage"})
	status, err := d.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d.end(t)
	fmt.Fprintf(&d.table, "| trouble | lasted | touches | log records | spans | came again | rejected | failed requests | all there after | memory |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, tr := range d.troubles(t) {
		t.Run(tr.name, func(t *testing.T) { d.during(t, tr) })
	}
	t.Run("real Collector away", d.collectorAway)
	t.Run("receiver", d.receiver)
	t.Logf("%s\n%s", status.Mode, d.table.String())
}

// ownDisk gives the state directory a file system that can be filled.
func (d *delivery) ownDisk(t *testing.T) {
	t.Helper()
	d.config.StateDir = filepath.Join(d.node.Dir(), "disk")
	if err := os.MkdirAll(d.config.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("state", d.config.StateDir, "tmpfs", 0, "size=512m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(d.config.StateDir, unix.MNT_DETACH) })
}

// end ends the agent as an operator does.
func (d *delivery) end(t *testing.T) {
	t.Helper()
	if err := d.agent.Stop(); err != nil {
		t.Fatal(err)
	}
}

// newDelivery starts a containerd and a back end, and no agent yet.
func newDelivery(t *testing.T) *delivery {
	t.Helper()
	d := &delivery{suite: *suiteOf(t, deliveryTokens)}
	var err error
	if d.back, err = backend.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = d.back.Down()
		if d.agent != nil {
			_ = d.agent.Kill() // has ended as a rule
		}
	})
	d.config.Output = []string{"otlp"}
	d.config.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + d.back.Address, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"}
	return d
}

func (d *delivery) troubles(t *testing.T) []trouble {
	set := func(f backend.Fault) func(*testing.T) { return func(*testing.T) { d.back.Set(f) } }
	heal := set(backend.Fault{})
	up := func(t *testing.T) { d.up(t, nil) }
	right, wrong := certificate(t), certificate(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: right.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	secure := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://" + d.back.Address, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_CERTIFICATE=" + ca}
	return []trouble{
		{name: "none", begin: heal, end: heal, lasts: 5 * time.Second},
		{name: "away", begin: d.down, end: up},
		{name: "restarted", lasts: 5 * time.Second, begin: func(t *testing.T) {
			for range 5 {
				d.down(t)
				time.Sleep(200 * time.Millisecond)
				d.up(t, nil)
				time.Sleep(500 * time.Millisecond)
			}
		}, end: heal},
		{name: "503, Retry-After", begin: set(backend.Fault{Status: http.StatusServiceUnavailable, RetryAfter: 1}), end: heal},
		{name: "429, Retry-After", begin: set(backend.Fault{Status: http.StatusTooManyRequests, RetryAfter: 2}), end: heal},
		{name: "partial success", begin: set(backend.Fault{Reject: 1}), end: heal},
		{name: "cut in mid-request", begin: set(backend.Fault{CutBefore: true}), end: heal},
		{name: "cut before the answer", begin: set(backend.Fault{CutAfter: true}), end: heal},
		{name: "slow, 2 s an answer", begin: set(backend.Fault{Delay: 2 * time.Second}), end: heal},
		{name: "wrong certificate", env: secure, begin: func(t *testing.T) { d.down(t); d.up(t, &wrong) }, end: func(t *testing.T) { d.down(t); d.up(t, &right) }},
		{name: "away, and the disk full", begin: func(t *testing.T) { d.down(t); d.fill(t) }, end: func(t *testing.T) { d.free(t); d.down(t); d.up(t, nil) }, lasts: 10 * time.Second},
	}
}

func (d *delivery) down(t *testing.T) {
	if err := d.back.Down(); err != nil {
		t.Fatal(err)
	}
}

func (d *delivery) up(t *testing.T, c *tls.Certificate) {
	if err := d.back.Up(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// certificate is for loopback, signed by itself.
func certificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "back end"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// fill leaves no room where the journal is, free makes some.
func (d *delivery) fill(t *testing.T) {
	f, err := os.Create(filepath.Join(d.config.StateDir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<16); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}

func (d *delivery) free(t *testing.T) {
	if err := os.Remove(filepath.Join(d.config.StateDir, "filler")); err != nil {
		t.Fatal(err)
	}
}

// during has the token touched before, while and after something is wrong.
func (d *delivery) during(t *testing.T, tr trouble) {
	cfg := d.config
	if tr.env != nil {
		d.config.Env = tr.env
	}
	d.startAgent(t)
	defer func() { d.config = cfg }()
	if tr.lasts == 0 {
		tr.lasts = *outage
	}
	ctx, cancel := context.WithTimeout(t.Context(), tr.lasts+2*patience)
	defer cancel()
	touched, enough := d.touches(ctx, quick)
	time.Sleep(time.Second)
	tr.begin(t)
	time.Sleep(tr.lasts)
	tr.end(t)
	healed := time.Now()
	enough(t)
	n, err := strconv.Atoi(<-touched)
	if err != nil {
		t.Fatal(err)
	}
	took := d.arrived(ctx, t, n)
	after := time.Since(healed)
	rss := peak(t, d.agent.PID())
	d.end(t)
	d.check(t, n, took)
	d.row(tr, n, took, after, rss)
	d.down(t)
	d.up(t, nil) // as it was, whatever the trouble made of it
	d.back.Forget()
	if rss > maxRSS {
		t.Errorf("the agent took %d KiB, want %d at most", rss, maxRSS)
	}
}

// quick is the pause between two touches where there are a hundred a second.
const quick = 5 * time.Millisecond

// touches has processes of the container touch the token, one after the other,
// until enough is called; then the channel has how many there were.
func (d *delivery) touches(ctx context.Context, pause time.Duration) (<-chan string, func(*testing.T)) {
	d.runs++
	stop := fmt.Sprintf("/enough-%d", d.runs)
	script := "n=0; until [ -e " + stop + " ]; do cat " + dbPath + " >/dev/null & wait; usleep " + strconv.FormatInt(pause.Microseconds(), 10) + "; n=$((n+1)); done; echo $n"
	count := make(chan string, 1)
	go func() {
		r, err := d.node.CRI().Exec(ctx, d.box.id, "sh", "-c", script)
		if err != nil {
			count <- err.Error()
			return
		}
		count <- strings.TrimSpace(string(r.Stdout))
	}()
	return count, func(t *testing.T) { d.exec(t, d.box, "touch", stop) }
}

// arrived waits until the back end has what n touches amount to, in both signals.
func (d *delivery) arrived(ctx context.Context, t *testing.T, n int) backend.Took {
	t.Helper()
	return d.wait(ctx, t, n, func(took backend.Took) bool {
		return len(opens(took))+took.Rejected["/v1/logs"] >= n && len(took.Spans)+took.Rejected["/v1/traces"] >= n
	})
}

// recordsOf waits for the log records alone.
func (d *delivery) recordsOf(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	d.wait(ctx, t, n, func(took backend.Took) bool { return len(opens(took)) >= n })
}

func (d *delivery) wait(ctx context.Context, t *testing.T, n int, all func(backend.Took) bool) backend.Took {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		took := d.back.Took()
		if all(took) {
			return took
		}
		select {
		case <-ctx.Done():
			t.Fatalf("of %d touches %d log records and %d spans arrived, %v rejected, answers %v\n%s", n, len(opens(took)), len(took.Spans), took.Rejected, took.Requests, d.agent.LogTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// opens are the records of opens of the token.
func opens(took backend.Took) []backend.Record {
	return slices.DeleteFunc(slices.Clone(took.Records), func(r backend.Record) bool {
		return r.Event != "honeytoken.access" || r.Token != "db" || r.Kind != "open"
	})
}

// check is eachTold, and wants a span for each as well.
func (d *delivery) check(t *testing.T, n int, took backend.Took) {
	t.Helper()
	d.eachTold(t, n, took)
	if got := len(took.Spans) + took.Rejected["/v1/traces"]; got != n {
		t.Errorf("%d spans arrived or were rejected, want %d", got, n)
	}
}

// eachTold wants one record for each of n processes, of one touch, and none missing
// but what the back end has rejected.
func (d *delivery) eachTold(t *testing.T, n int, took backend.Took) {
	t.Helper()
	processes := map[string]bool{}
	for _, r := range opens(took) {
		if processes[r.Process] {
			t.Errorf("process %s has more than one record", r.Process)
		}
		processes[r.Process] = true
		if r.Count != 1 {
			t.Errorf("process %s: a record of %d touches, want one", r.Process, r.Count)
		}
	}
	if len(processes)+took.Rejected["/v1/logs"] != n {
		t.Errorf("%d processes are told and %d records rejected, %d touched", len(processes), took.Rejected["/v1/logs"], n)
	}
	for _, r := range took.Records {
		if r.Event == "honeytoken.gap" {
			t.Errorf("a gap: %+v", r)
		}
	}
}

func (d *delivery) row(tr trouble, n int, took backend.Took, after time.Duration, rss int) {
	again := 0
	for _, r := range took.Records {
		again += r.Times - 1
	}
	for _, times := range took.Spans {
		again += times - 1
	}
	failed := 0
	for status, k := range took.Requests {
		if status != http.StatusOK {
			failed += k
		}
	}
	rejected := took.Rejected["/v1/logs"] + took.Rejected["/v1/traces"]
	fmt.Fprintf(&d.table, "| %s | %.0f s | %d | %d | %d | %d | %d | %d | %.1f s | %.0f MiB |\n", tr.name, tr.lasts.Seconds(), n,
		len(opens(took)), len(took.Spans), again, rejected, failed, after.Seconds(), float64(rss)/1024)
}

// peak is the most memory that a process had, in KiB.
func peak(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(strings.SplitN(rest, "\n", 2)[0]), " kB"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// collectorAway: the same with a real Collector that is stopped, and started again
// at the same address.
func (d *delivery) collectorAway(t *testing.T) {
	cfg := collector.Config{Binary: need(t, "collector", collectorExe)}
	c, err := collector.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	cfg.GRPC, cfg.HTTP = c.GRPC, c.HTTP
	own := d.config
	d.config.Env = []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + c.GRPC, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}
	d.startAgent(t)
	defer func() { d.config = own }()
	ctx, cancel := context.WithTimeout(t.Context(), *outage+2*patience)
	defer cancel()
	touched, enough := d.touches(ctx, quick)
	time.Sleep(time.Second)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	logs, errLogs := c.Logs()
	spans, errSpans := c.Spans()
	if err := errors.Join(errLogs, errSpans); err != nil {
		t.Fatal(err)
	}
	time.Sleep(*outage)
	if c, err = collector.Start(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	healed := time.Now()
	enough(t)
	n, err := strconv.Atoi(<-touched)
	if err != nil {
		t.Fatal(err)
	}
	took := backend.Took{Spans: map[string]int{}}
	err = c.Wait(ctx, func(more []collector.Log, moreSpans []collector.Span) bool {
		took = tookOf(append(slices.Clone(logs), more...), append(slices.Clone(spans), moreSpans...))
		return len(opens(took)) >= n && len(took.Spans) >= n
	})
	after, rss := time.Since(healed), peak(t, d.agent.PID())
	if err := errors.Join(err, c.Stop()); err != nil {
		t.Fatalf("of %d touches %d log records and %d spans arrived: %v\n%s", n, len(opens(took)), len(took.Spans), err, d.agent.LogTail())
	}
	d.end(t)
	d.check(t, n, took)
	d.row(trouble{name: "real Collector away, gRPC", lasts: *outage}, n, took, after, rss)
}

// tookOf puts what a Collector passed on in the form of what a back end took.
func tookOf(logs []collector.Log, spans []collector.Span) backend.Took {
	took := backend.Took{Spans: map[string]int{}}
	records := map[string]backend.Record{}
	text := func(l collector.Log, key string) string { s, _ := l.Attributes[key].(string); return s }
	for _, l := range logs {
		r := records[text(l, "log.record.uid")]
		pid, _ := l.Attributes["process.pid"].(int64)
		records[text(l, "log.record.uid")] = backend.Record{
			UID: text(l, "log.record.uid"), Event: text(l, "honeytoken.event"), Token: text(l, "honeytoken.name"), Kind: text(l, "honeytoken.access.kind"),
			Process: fmt.Sprint(pid, " ", text(l, "process.creation.time")), Count: 1, Times: r.Times + 1,
		}
	}
	took.Records = slices.Collect(maps.Values(records))
	for _, s := range spans {
		took.Spans[s.SpanID]++
	}
	return took
}
