//go:build vmtest && linux

package agent

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/beesting-otel/beesting/bpf"
)

// A binary at an unusual path is known by who runs it, if that can be nobody but
// the host's root. Files of root are root's to make.
func TestRunningBinaries(t *testing.T) {
	h := newHostTree(t)
	mine := h.binary("nix/store/kubelet", 0o755)
	containers := h.binary("containers/kubelet", 0o755)
	others := h.binary("home/other/containerd", 0o755)
	if err := os.Chown(filepath.Join(h.root, "home/other/containerd"), 1000, 1000); err != nil {
		t.Fatal(err)
	}
	h.process(50, "mnt:[1]", "nix/store/kubelet")
	h.process(51, "mnt:[2]", "containers/kubelet")
	h.process(52, "mnt:[1]", "home/other/containerd")
	f, _ := h.core(Exempt{})
	if got := recognised(f.sensor, mine); len(got) != 1 || got[0].Actor != bpf.ActorKubelet {
		t.Errorf("kubelet: %+v", got)
	}
	for _, fi := range []os.FileInfo{containers, others} {
		if got := recognised(f.sensor, fi); len(got) != 0 {
			t.Errorf("%s by its name: %+v", fi.Name(), got)
		}
	}
}
