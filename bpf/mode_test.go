package bpf

import (
	"errors"
	"strings"
	"testing"
)

func TestParseMode(t *testing.T) {
	for _, m := range append(Modes(), ModeAuto) {
		if got, err := ParseMode(string(m)); got != m || err != nil {
			t.Errorf("%q: %q, %v", m, got, err)
		}
	}
	if got, err := ParseMode(""); got != ModeAuto || err != nil {
		t.Errorf("empty: %q, %v", got, err)
	}
	for _, bad := range []string{"LSM", "ebpf", "lsm "} {
		if _, err := ParseMode(bad); err == nil || !strings.Contains(err.Error(), "kprobe") {
			t.Errorf("%q: %v, want an error that lists the modes", bad, err)
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := Options{}.withDefaults()
	if err != nil || o.Mode != ModeAuto || o.RingBytes != defaultRingBytes || o.MaxWatches != defaultMaxWatches {
		t.Errorf("defaults: %+v, %v", o, err)
	}
	for _, bad := range []Options{
		{Mode: "x"}, {RingBytes: -1}, {RingBytes: maxRingBytes + 1}, {MaxWatches: -1}, {MaxWatches: maxMaxWatches + 1},
	} {
		if _, err := bad.withDefaults(); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestOpenErrorNamesEachMode(t *testing.T) {
	why := errors.New("because")
	err := error(&OpenError{Attempts: []Attempt{{Mode: ModeLSM, Err: ErrHookSilent}, {Mode: ModeKprobe, Err: why}}})
	want := "no attach mode works: lsm: attached, but the hook does not run; kprobe: because"
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
	if !errors.Is(err, why) || !errors.Is(err, ErrHookSilent) {
		t.Error("the attempts' errors are not in the chain")
	}
}
