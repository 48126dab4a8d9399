package agent

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/sensortest"
)

// hostTree is a host's files, at the root of process 1.
type hostTree struct {
	t    *testing.T
	proc procTree
	root string
}

func newHostTree(t *testing.T) hostTree {
	t.Helper()
	h := hostTree{t: t, proc: newProcTree(t), root: t.TempDir()}
	h.process(1, "mnt:[1]", "")
	if err := os.Symlink(h.root, filepath.Join(h.proc.dir, "1", "root")); err != nil {
		t.Fatal(err)
	}
	return h
}

// process makes a process that runs an executable.
func (h hostTree) process(pid int, ns, exe string) {
	h.t.Helper()
	h.proc.process(h.t, pid, filepath.Base(exe), 100, "0::/\n")
	dir := filepath.Join(h.proc.dir, itoa(pid))
	if err := os.Mkdir(filepath.Join(dir, "ns"), 0o755); err != nil {
		h.t.Fatal(err)
	}
	_ = os.Remove(filepath.Join(dir, "exe"))
	for link, target := range map[string]string{"ns/mnt": ns, "exe": filepath.Join(h.root, exe)} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			h.t.Fatal(err)
		}
	}
}

// binary makes a file in the place of what was there.
func (h hostTree) binary(name string, mode os.FileMode) os.FileInfo {
	h.t.Helper()
	full := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(full+".new", []byte(name), mode); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Chmod(full+".new", mode); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(full+".new", full); err != nil {
		h.t.Fatal(err)
	}
	fi, err := os.Stat(full)
	if err != nil {
		h.t.Fatal(err)
	}
	return fi
}

// recognised returns what the sensor was told of a file.
func recognised(s *sensortest.Fake, fi os.FileInfo) (found []sensortest.Exemption) {
	for _, x := range s.Exemptions() {
		if x.File != nil && os.SameFile(x.File, fi) {
			found = append(found, x)
		}
	}
	return found
}

func (h hostTree) core(o Exempt) (*fixture, *bytes.Buffer) {
	h.t.Helper()
	var log bytes.Buffer
	return newFixture(h.t, func(c *CoreOptions) {
		c.Exempt, c.ProcRoot, c.Log = o, h.proc.dir, slog.New(slog.NewTextHandler(&log, nil))
	}), &log
}

func TestExemptBinaries(t *testing.T) {
	h := newHostTree(t)
	backup := h.binary("opt/backup/bin/walk", 0o755)
	open := h.binary("opt/backup/bin/open", 0o757)
	runc := h.binary("usr/local/sbin/runc", 0o755)
	kubelet := h.binary("usr/bin/kubelet", 0o755)
	f, log := h.core(Exempt{Binaries: []string{"/opt/backup/bin/walk", "/opt/backup/bin/open", "/opt/none"}})
	for _, c := range []struct {
		file  os.FileInfo
		actor bpf.Actor
	}{{backup, bpf.ActorAllowed}, {runc, bpf.ActorRuntime}, {kubelet, bpf.ActorKubelet}} {
		if got := recognised(f.sensor, c.file); len(got) != 1 || got[0].Actor != c.actor || got[0].Closed {
			t.Errorf("%s: %+v", c.file.Name(), got)
		}
	}
	if got := recognised(f.sensor, open); len(got) != 0 {
		t.Errorf("a binary that everybody may write to is exempt: %+v", got)
	}
	for _, want := range []string{"path=/opt/none", "path=/opt/backup/bin/open", "correct sensor.exempt.binaries"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q: %s", want, log)
		}
	}
	if strings.Contains(log.String(), "crun") || !f.core.knowsRuntime() {
		t.Errorf("a runtime that isn't there is a problem: %s", log)
	}
	said := log.Len()
	f.core.exempt.refresh()
	if log.Len() != said || len(f.sensor.Exemptions()) != 3 {
		t.Errorf("again: %d exemptions, %s", len(f.sensor.Exemptions()), log.String()[said:])
	}
}

// An upgrade puts another file there; processes go on running the old one.
func TestReplacedBinary(t *testing.T) {
	h := newHostTree(t)
	f, _ := h.core(Exempt{Binaries: []string{"/bin/walk"}, Runtimes: []string{}, Kubelets: []string{}})
	if len(f.sensor.Exemptions()) != 0 {
		t.Fatal("something is exempt")
	}
	var files []os.FileInfo
	for range maxVersions + 1 {
		files = append(files, h.binary("bin/walk", 0o755))
		f.core.exempt.refresh()
	}
	for i, fi := range files {
		if got := recognised(f.sensor, fi); len(got) != 1 || got[0].Closed != (i == 0) {
			t.Errorf("version %d: %+v", i, got)
		}
	}
	// The end of the agent is none of theirs: what is pinned goes on.
	if err := f.core.Close(); err != nil {
		t.Fatal(err)
	}
	if got := recognised(f.sensor, files[maxVersions]); got[0].Closed {
		t.Errorf("after the end: %+v", got)
	}
}

func TestExemptCgroupsNeedV2(t *testing.T) {
	h := newHostTree(t)
	_, log := h.core(Exempt{Cgroups: []string{"/backup.slice"}, Runtimes: []string{}, Kubelets: []string{}})
	for _, want := range []string{"path=/backup.slice", "no cgroup v2 hierarchy", "sensor.exempt.cgroups"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("log lacks %q: %s", want, log)
		}
	}
}
