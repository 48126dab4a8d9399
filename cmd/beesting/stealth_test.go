//go:build !vmtest

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/stealth"
)

// Which of the agent's tokens are looked at, and what is said of those that can't be.
func TestStealthChoice(t *testing.T) {
	proc := t.TempDir()
	for name, text := range map[string]string{
		"7/stat": "7 (a) S " + strings.Repeat("0 ", 18) + "100 0", "7/mountinfo": "", "locks": "", "7/root/a": "x", "7/root/b": "x",
	} {
		name = filepath.Join(proc, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := []agent.PlacementStatus{
		{Token: "a", Path: "/a", Container: "c1", PID: 7, Strategy: "bind"}, {Token: "b", Path: "/b", Container: "c2", PID: 7},
		{Token: "stopped", Path: "/a", Container: "c1"}, {Token: "gone", Path: "/a", Container: "c3", PID: 9},
	}
	for _, test := range []struct {
		flags stealthFlags
		want  string
		fails string
	}{
		{stealthFlags{}, "a b", "process 9"},
		{stealthFlags{container: "c1"}, "a", ""},
		{stealthFlags{pid: 7}, "a b", ""},
		{stealthFlags{pid: 7, container: "c2"}, "b", ""},
		{stealthFlags{container: "x"}, "", "no token is planted in such a container"},
	} {
		rows, err := test.flags.look(stealth.Looker{Proc: proc}, all)
		var got []string
		for _, r := range rows {
			got = append(got, r.Token)
		}
		if strings.Join(got, " ") != test.want || (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%+v: %v, %v", test.flags, got, err)
		}
	}
	var b strings.Builder
	if err := writeStealth(&b, nil); err != nil || b.String() != "no tokens in containers that run\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}
