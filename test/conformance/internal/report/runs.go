package report

import (
	"fmt"
	"slices"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// Run is when and from what the cells of one rung, tier and file system come.
type Run struct {
	// Date is the day.
	Date string
	// Tree is a hash of the sources of everything that took part: see Tree.
	Tree string
}

// runKey is what a Run is kept under.
func runKey(rung, tier, fs string) string { return rung + " " + tier + " " + fs }

// Ran notes that a rung and tier ran on a file system.
func (k *Kernel) Ran(rung, tier, fs string, run Run) {
	if k.Runs == nil {
		k.Runs = map[string]Run{}
	}
	k.Runs[runKey(rung, tier, fs)] = run
}

// ran tells whether it did, and when.
func (k Kernel) ran(rung, tier, fs string) (Run, bool) {
	run, ok := k.Runs[runKey(rung, tier, fs)]
	return run, ok
}

// step is one rung in one tier.
type step struct{ rung, tier string }

func (s step) String() string { return s.rung + " " + s.tier }

// steps are all of them, in the order of the table. To fanotify the tiers are
// one.
func steps() []step {
	return []step{
		{"lsm", "default"}, {"lsm", "recon"}, {"fentry", "default"}, {"fentry", "recon"},
		{"kprobe", "default"}, {"kprobe", "recon"}, {"fanotify", "default"},
	}
}

// systems are the file systems of the whole suite. All steps run on the first,
// one on the others.
func systems() []string { return []string{"tmpfs", "ext4", "xfs", "btrfs"} }

// Stale lists what was run from other sources than those that tree names for a
// kernel: what has to be run again before a table can be of one tree.
func Stale(kernels []Kernel, tree func(kernel string) (string, error)) ([]string, error) {
	var stale []string
	for _, k := range kernels {
		want, err := tree(k.Name)
		if err != nil {
			return nil, err
		}
		var keys []string
		for key, run := range k.Runs {
			if run.Tree != want {
				keys = append(keys, fmt.Sprintf("%s: %s, of %s", k.Name, key, run.Date))
			}
		}
		slices.Sort(keys)
		stale = append(stale, keys...)
	}
	return stale, nil
}

// Unrun lists what of the whole matrix has not been run.
func Unrun(kernels []Kernel, names []string) []string {
	var unrun []string
	for _, name := range names {
		i := slices.IndexFunc(kernels, func(k Kernel) bool { return k.Name == name && k.Release != "" })
		if i < 0 {
			unrun = append(unrun, name+": everything")
			continue
		}
		for _, s := range steps() {
			if _, ok := kernels[i].ran(s.rung, s.tier, systems()[0]); !ok {
				unrun = append(unrun, name+": "+s.String())
			}
		}
		for _, fs := range systems()[1:] {
			if !slices.ContainsFunc(kernels[i].Cells, func(c cases.Cell) bool { return c.FS == fs }) {
				unrun = append(unrun, name+": "+fs)
			}
		}
	}
	return unrun
}
