//go:build linux

package collectorreceiver

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/internal/journal"
)

// journaled is a configuration with the default journal.
func (h *testHost) journaled() *Config {
	c := h.config()
	d, _ := createDefaultConfig().(*Config)
	c.Journal = d.Journal
	return c
}

// endOfProcess is what is left of a Collector's process when it has ended: files.
func (h *testHost) endOfProcess() {
	h.t.Helper()
	h.mu.Lock()
	parked := h.parked
	h.mu.Unlock()
	if parked == nil {
		h.t.Fatal("nothing is parked")
	}
	h.expire(parked)
}

// What the pipeline refuses outlives the process: the next one delivers it, in
// order and once, and then what is new.
func TestJournalOutlivesTheCollector(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.journaled())
	n := h.touch(5)
	p.want(t, 1, n, signalLogs, signalTraces)
	p.refuse(errors.New("queue is full"))
	n += h.touch(40)
	eventually(t, "a refusal", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.calls > 2 })
	c.shutdown()
	h.endOfProcess()
	if got := h.journalStats(t).Pending; len(got) != 0 {
		t.Errorf("cursors are open: %v", got)
	}

	p.refuse(nil)
	c = h.mustLoad(p, h.journaled())
	p.want(t, 1, n, signalLogs, signalTraces)
	n += h.touch(3)
	p.want(t, 1, n, signalLogs, signalTraces)
	if m := p.missing(); m > 0 {
		t.Errorf("%d touches are told to be missing", m)
	}
	c.shutdown()
}

// journalStats opens the journal, which nobody else may have then.
func (h *testHost) journalStats(t *testing.T) journal.Stats {
	t.Helper()
	j, err := journal.Open(filepath.Join(h.journaled().StateDir, "journal"), journal.Options{Log: newRelay().logger()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	return j.Stats()
}

// A reload keeps the journal where it is the same, and opens another one where it
// isn't.
func TestJournalOverReloads(t *testing.T) {
	h := newTestHost(t)
	p := &pipelines{}
	c := h.mustLoad(p, h.journaled())
	n := h.touch(3)
	p.want(t, 1, n, signalLogs, signalTraces)
	for _, change := range []func(*Config){
		func(*Config) {},
		func(c *Config) { c.Sensor.MaxWatches-- },
		func(c *Config) { c.Journal.MaxBytes *= 2 },
		func(c *Config) { c.Journal.MaxBytes = 0 },
	} {
		cfg := h.journaled()
		change(cfg)
		c.shutdown()
		c = h.mustLoad(p, cfg)
		n += h.touch(3)
		p.want(t, 1, n, signalLogs, signalTraces)
	}
	c.shutdown()
}

// A journal that another process has is an error, which leaves nothing behind. One
// that can't be had is gone without.
func TestJournalRefused(t *testing.T) {
	h := newTestHost(t)
	dir := filepath.Join(h.journaled().StateDir, "journal")
	j, err := journal.Open(dir, journal.Options{Log: newRelay().logger()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.load(&pipelines{}, h.journaled()); err == nil || !strings.Contains(err.Error(), "another agent uses it") {
		t.Errorf("while another process has it: %v", err)
	}
	if len(h.sensors) > 0 {
		t.Error("a sensor was opened before")
	}
	if err := errors.Join(j.Close(), os.RemoveAll(dir), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	p := &pipelines{}
	c := h.mustLoad(p, h.journaled())
	p.want(t, 1, h.touch(3), signalLogs, signalTraces)
	c.shutdown()
}
