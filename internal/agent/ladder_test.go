package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
	"github.com/beesting-otel/beesting/internal/fanotify"
	"github.com/beesting-otel/beesting/internal/state"
)

var (
	errEBPF     = errors.New("refused")
	errFanotify = errors.New("refused, too")
)

// rungs is a ladder of which only the named steps hold.
func rungs(ebpf, fan error, asked *fanotify.Options) ladder {
	return ladder{
		ebpf: func(bpf.Options) (Sensor, []bpf.Attempt, error) {
			return sensortest.New(), []bpf.Attempt{{Mode: bpf.ModeLSM, Err: errEBPF}}, ebpf
		},
		probeEBPF: func(bpf.Options) []bpf.Attempt {
			return []bpf.Attempt{{Mode: bpf.ModeLSM, Err: errEBPF}, {Mode: bpf.ModeFentry, Note: "can miss", Coverage: bpf.CoverageOf(bpf.ModeFentry, bpf.TierDefault)}}
		},
		fanotify: func(o fanotify.Options) (Sensor, error) {
			*asked = o
			if fan != nil {
				return nil, fan
			}
			return sensortest.New(), nil
		},
	}
}

func modesOf(attempts []ModeAttempt) string {
	text := ""
	for _, a := range attempts {
		text += fmt.Sprintf("%s: %v; ", a.Mode, a.Err)
	}
	return text
}

func TestLadder(t *testing.T) {
	all := &bpf.OpenError{Attempts: []bpf.Attempt{{Mode: bpf.ModeKprobe, Err: errEBPF}, {Mode: bpf.ModeFentry, Err: errEBPF}}}
	tests := map[string]struct {
		mode      string
		ebpf, fan error
		fanotify  bool // was asked
		refused   string
		err       string
	}{
		"eBPF works":             {"auto", nil, nil, false, "lsm: refused; ", ""},
		"only fanotify":          {"auto", all, nil, true, "kprobe: refused; fentry: refused; ", ""},
		"no BTF":                 {"", bpf.ErrNoBTF, nil, true, "lsm: %[1]v; fentry: %[1]v; kprobe: %[1]v; ", ""},
		"nothing":                {"auto", all, errFanotify, true, "", "no attach mode works: kprobe: refused; fentry: refused; fanotify: refused, too"},
		"fanotify":               {"fanotify", all, nil, true, "", ""},
		"fanotify doesn't":       {"fanotify", nil, errFanotify, true, "", "refused, too"},
		"a mode doesn't":         {"lsm", all, nil, false, "", all.Error()},
		"pinned by another":      {"auto", state.ErrLocked, nil, false, "", "in use by another agent"},
		"nowhere to pin":         {"auto", bpf.ErrNotBPFFS, nil, false, "", bpf.ErrNotBPFFS.Error()},
		"no such mode":           {"kprobes", nil, nil, false, "", `attach mode "kprobes": want auto, lsm, fentry or kprobe`},
		"a mode without anybody": {"kprobe", bpf.ErrNoBTF, nil, false, "", bpf.ErrNoBTF.Error()},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var asked fanotify.Options
			l := rungs(tt.ebpf, tt.fan, &asked)
			o := SensorOptions{Mode: tt.mode, Tier: "recon", RingBytes: 1 << 20, MaxWatches: 3, RepeatInterval: time.Minute, ReportExempt: true}
			s, refused, err := l.open(o)
			if got := fmt.Sprint(err); tt.err != "" && got != tt.err || tt.err == "" && err != nil {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if (s != nil) != (tt.err == "") {
				t.Errorf("sensor %v, error %v", s, err)
			}
			want := tt.refused
			if errors.Is(tt.ebpf, bpf.ErrNoBTF) && want != "" {
				want = fmt.Sprintf(want, bpf.ErrNoBTF)
			}
			if got := modesOf(refused); got != want {
				t.Errorf("refused %q, want %q", got, want)
			}
			wantAsked := fanotify.Options{Tier: bpf.TierRecon, MaxWatches: 3, MaxEvents: 512, RepeatInterval: time.Minute, ReportExempt: true}
			if !tt.fanotify {
				wantAsked = fanotify.Options{}
			}
			if asked != wantAsked {
				t.Errorf("fanotify was asked for %+v, want %+v", asked, wantAsked)
			}
		})
	}
}

func TestLadderProbe(t *testing.T) {
	var asked fanotify.Options
	got := rungs(nil, nil, &asked).probe(SensorOptions{Mode: "kprobe", Pin: "/p"})
	if modesOf(got) != "lsm: refused; fentry: <nil>; fanotify: <nil>; " || got[1].Note != "can miss" {
		t.Fatalf("%+v", got)
	}
	if len(got[0].Kinds) > 0 || len(got[1].Kinds) < 10 || len(got[2].Kinds) != 2 {
		t.Errorf("kinds %+v", got)
	}
	got = rungs(nil, errFanotify, &asked).probe(SensorOptions{})
	if !errors.Is(got[2].Err, errFanotify) || len(got[2].Kinds) > 0 {
		t.Errorf("%+v", got[2])
	}
	if got = rungs(nil, nil, &asked).probe(SensorOptions{Tier: "all"}); len(got) != 1 || got[0].Err == nil {
		t.Errorf("no such tier: %+v", got)
	}
}

func TestRemoveEmpty(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pin")
	kept := filepath.Join(dir, "v1", "other")
	for _, d := range []string{filepath.Join(dir, "v2", "maps"), filepath.Dir(kept)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(kept, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := removeEmpty(dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 || left[0].Name() != "v1" {
		t.Errorf("left %v (%v)", left, err)
	}
	if err := errors.Join(os.Remove(kept), removeEmpty(dir), removeEmpty(dir)); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left: %v", err)
	}
}
