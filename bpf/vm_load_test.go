//go:build vmtest && linux

package bpf

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// TestEveryProgramLoads loads each program alone, so that a failure names it and
// shows what the verifier had to say.
func TestEveryProgramLoads(t *testing.T) {
	o, err := Options{Tier: TierRecon}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if err := prepare(); err != nil {
		t.Fatal(err)
	}
	cache := btf.NewCache()
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
			for name := range spec.Programs {
				t.Run(name, func(t *testing.T) { loadsAlone(t, spec, name, cache) })
			}
		})
	}
}

func loadsAlone(t *testing.T, spec *ebpf.CollectionSpec, name string, cache *btf.Cache) {
	alone := spec.Copy()
	for other := range alone.Programs {
		if other != name {
			delete(alone.Programs, other)
		}
	}
	started := time.Now()
	coll, err := ebpf.NewCollectionWithOptions(alone, ebpf.CollectionOptions{
		Cache: cache, Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats},
	})
	t.Logf("loaded in %v", time.Since(started).Round(time.Millisecond))
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) {
		t.Fatalf("%v\n%s", err, strings.Join(ve.Log[max(0, len(ve.Log)-40):], "\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(coll.Programs[name].VerifierLog, "\n") {
		if strings.HasPrefix(line, "processed") || strings.HasPrefix(line, "verification time") {
			t.Log(line)
		}
	}
	coll.Close()
}
