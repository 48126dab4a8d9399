package check

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestStartLog(t *testing.T) {
	kinds := Kinds{{Kind: "open", Seen: true}, {Kind: "exec", Seen: true, Note: "not by hand"}, {Kind: "stat", Note: "no hook"}}
	tests := map[string]struct {
		start Start
		want  []string
	}{
		"pinned": {Start{Asked: "auto", Refused: []Attempt{{Mode: "lsm", Err: errors.New("silent")}}, Mode: "fentry", Tier: "recon", Kinds: kinds, Pin: "/p"}, []string{
			`INFO attach mode refused mode=lsm error=silent`,
			`INFO attached mode=fentry tier=recon tokens=3 seen=open, exec in_part=exec (not by hand) not_seen=stat (no hook)`,
			`INFO pinned: when this process ends, tokens stay watched, and touches are kept for the next start path=/p`}},
		"fanotify": {Start{Asked: "auto", Mode: "fanotify", Tier: "default", Kinds: kinds}, []string{
			`WARN eBPF can't be used here: fanotify watches, which sees less seen=open, exec in_part=exec (not by hand) not_seen=stat (no hook)`,
			`INFO attached mode=fanotify tier=default tokens=3 seen=open, exec in_part=exec (not by hand) not_seen=stat (no hook)`,
			`INFO not pinned: when this process ends, tokens are not watched until the next start`}},
		"can't be pinned": {Start{Asked: "auto", Mode: "kprobe", Tier: "default", Kinds: kinds[:1], PinRefused: "/p"}, []string{
			`INFO attached mode=kprobe tier=default tokens=3 seen=open`,
			`WARN not pinned: this attach mode ends with its process on this kernel, and tokens are not watched until the next start mode=kprobe path=/p`}},
		"chosen": {Start{Asked: "fanotify", Mode: "fanotify", Tier: "default", Kinds: kinds[:1]}, []string{
			`INFO attached mode=fanotify tier=default tokens=3 seen=open`,
			`INFO not pinned: when this process ends, tokens are not watched until the next start`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			tt.start.Log(slog.New(slog.NewTextHandler(&b, nil)), slog.Int("tokens", 3))
			got := strings.Split(strings.TrimSpace(b.String()), "\n")
			if len(got) != len(tt.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(got), len(tt.want), &b)
			}
			for i, want := range tt.want {
				_, line, _ := strings.Cut(strings.NewReplacer(`"`, "", "level=", "", "msg=", "").Replace(got[i]), " ")
				if line != want {
					t.Errorf("line %d:\n%s\nwant:\n%s", i, line, want)
				}
			}
		})
	}
}
