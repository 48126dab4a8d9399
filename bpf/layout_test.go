//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// update writes the layout down; only of one that isn't there yet. While a layout
// has not been released, its file can be removed first.
var update = flag.Bool("update", false, "write the description of a new layout")

// Maps outlive the agent, and the next one reads them. So what is in them may only
// change together with LAYOUT, whatever the mode.
func TestLayout(t *testing.T) {
	golden := filepath.Join("testdata", fmt.Sprintf("layout-v%d.txt", layout))
	for mode, load := range map[Mode]func() (*ebpf.CollectionSpec, error){
		ModeLSM: loadLsm, ModeFentry: loadFentry, ModeKprobe: loadKprobe,
	} {
		spec, err := load()
		if err != nil {
			t.Fatal(err)
		}
		got := describe(t, spec)
		want, err := os.ReadFile(golden)
		if errors.Is(err, fs.ErrNotExist) && *update {
			err = os.WriteFile(golden, []byte(got), 0o644)
			want = []byte(got)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: other maps or variables than %s has: a change needs another LAYOUT (sensor.h, decode.go). Got:\n%s", mode, golden, got)
		}
	}
}

// describe puts down what is shared by generations of programs.
func describe(t *testing.T, spec *ebpf.CollectionSpec) string {
	t.Helper()
	var lines []string
	for name, m := range spec.Maps {
		if !shared(name) {
			continue
		}
		line := fmt.Sprintf("map %s %s key %d value %d", name, m.Type, m.KeySize, m.ValueSize)
		if name != ".bss" {
			line += members("  key", m.Key) + members("  value", m.Value)
		}
		lines = append(lines, line)
	}
	for name, v := range spec.Variables {
		if v.SectionName == ".bss" {
			lines = append(lines, fmt.Sprintf("variable %s at %d size %d%s", name, v.Offset, v.Size(), members(" ", v.Type.Type)))
		}
	}
	var event *btf.Struct
	if err := spec.Types.TypeByName("event", &event); err != nil {
		t.Fatal(err)
	}
	lines = append(lines, "event size "+fmt.Sprint(event.Size)+members(" ", event))
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

func members(indent string, typ btf.Type) string {
	var b strings.Builder
	s, ok := btf.UnderlyingType(typ).(*btf.Struct)
	if !ok {
		return ""
	}
	for _, m := range s.Members {
		size, err := btf.Sizeof(m.Type)
		fmt.Fprintf(&b, "\n%s %s at %d size %d", indent, m.Name, m.Offset.Bytes(), size)
		if err != nil {
			fmt.Fprint(&b, " ", err)
		}
		element := m.Type
		if array, ok := btf.UnderlyingType(m.Type).(*btf.Array); ok {
			element = array.Type
		}
		b.WriteString(members(indent+"  ", element))
	}
	return b.String()
}
