//go:build vmtest && linux

package bpf

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// TestEveryProgramLoads loads the programs of the larger tier, and shows what the
// verifier made of each. The library's error names the one that fails.
func TestEveryProgramLoads(t *testing.T) {
	o, err := Options{Tier: TierRecon}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	for _, mode := range workingModes(t) {
		t.Run(string(mode), func(t *testing.T) {
			spec, absent, err := specOf(mode, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("not in this kernel: %v", absent)
			for _, name := range absent {
				// file_getattr(2) came with 6.17, hooks of access control lists with 6.2.
				newer := []string{"inode_file_getattr", "inode_file_setattr", "inode_get_acl", "inode_set_acl", "inode_remove_acl"}
				if !slices.Contains(newer, name) {
					t.Errorf("nothing to attach %s to", name)
				}
			}
			load(t, spec)
		})
	}
}

func load(t *testing.T, spec *ebpf.CollectionSpec) {
	t.Helper()
	started := time.Now()
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	t.Logf("%d programs loaded in %v", len(spec.Programs), time.Since(started).Round(time.Millisecond))
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		t.Fatalf("%v\n%s", err, strings.Join(ve.Log[max(0, len(ve.Log)-40):], "\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	for name, p := range coll.Programs {
		for _, line := range strings.Split(p.VerifierLog, "\n") {
			if strings.HasPrefix(line, "processed") {
				t.Log(name, line)
			}
		}
	}
}

// A function that can't be attached to costs the kinds that it sees; all but one.
func TestAttachWithoutAPlace(t *testing.T) {
	modes := workingModes(t)
	mode := modes[len(modes)-1]
	if mode != ModeKprobe {
		return // under lockdown; the others are found out by the kernel's types
	}
	o, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	spec, _, err := specOf(mode, o)
	if err != nil {
		t.Fatal(err)
	}
	for name := range spec.Programs {
		if name != "file_open" && name != "path_notify" {
			delete(spec.Programs, name)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	spec.Programs["path_notify"].AttachTo = "no_such_function"
	links, absent, err := attachAll(spec, coll.Programs)
	if err != nil || !slices.Equal(absent, []string{"path_notify"}) || links["file_open"] == nil || len(links) != 1 {
		t.Errorf("attached %v, absent %v, %v", links, absent, err)
	}
	if err := closeLinks(links); err != nil {
		t.Error(err)
	}
	spec.Programs["file_open"].AttachTo = "no_such_function"
	if _, _, err := attachAll(spec, coll.Programs); err == nil {
		t.Error("attached without what enrols")
	}
}
