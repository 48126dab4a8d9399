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
