package state

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Planted files in a directory of their own, where there were some before it was
// chosen.
func TestFilesElsewhere(t *testing.T) {
	top := t.TempDir()
	path, files := filepath.Join(top, "state"), filepath.Join(top, "kubelet", "plugins")
	d := openWith(t, path, Options{})
	before, err := d.Write(file("c1"))
	must(t, err, d.Close())

	d = openWith(t, path, Options{Files: files})
	after, err := d.Write(file("c2"))
	must(t, err)
	if want, _ := filepath.EvalSymlinks(files); d.FilesPath() != want || filepath.Dir(filepath.Dir(filepath.Dir(filepath.Dir(after)))) != filepath.Join(want, "pods") {
		t.Errorf("%s in %s", after, d.FilesPath())
	}
	if st, err := os.Stat(filepath.Join(files, "pods")); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
	for _, name := range []string{before, after} {
		if !d.Owns(name) {
			t.Errorf("%s is not owned", name)
		}
	}
	if got := d.Find(file("c1")); got != before {
		t.Errorf("c1 is found at %s", got)
	}
	if got := d.Find(file("c2")); got != after {
		t.Errorf("c2 is found at %s", got)
	}
	if got := d.Find(file("c3")); got != d.FilePath(file("c3")) || filepath.Dir(filepath.Dir(got)) != filepath.Dir(filepath.Dir(after)) && !strings.HasPrefix(got, d.FilesPath()) {
		t.Errorf("c3 would be at %s", got)
	}
	listed, _, err := d.Leftovers()
	if err != nil || len(listed) != 2 || !slices.Contains(listed, before) || !slices.Contains(listed, after) {
		t.Errorf("listed %v, %v", listed, err)
	}
	must(t, d.Remove(before, after))
	if listed, _, err = d.Leftovers(); err != nil || len(listed) != 0 {
		t.Errorf("left %v, %v", listed, err)
	}
	must(t, d.Close())
}

// The kubelet's own directory, whose files would be removed as leftovers.
func TestFilesOfTheKubelet(t *testing.T) {
	for name, dirs := range map[string][]string{
		"of another mode": {"pods"}, "with pods": {"pods", "pods/uid", "pods/uid/volumes"},
	} {
		top := t.TempDir()
		kubelet := filepath.Join(top, "kubelet")
		mode := os.FileMode(0o750)
		if len(dirs) > 1 {
			mode = 0o700
		}
		must(t, os.Mkdir(kubelet, 0o750))
		for _, dir := range dirs {
			must(t, os.Mkdir(filepath.Join(kubelet, dir), mode))
		}
		if _, err := Open(filepath.Join(top, "state"), Options{Files: kubelet}); err == nil || !strings.Contains(err.Error(), "is not the agent's: choose another directory") {
			t.Errorf("%s: %v", name, err)
		}
		if len(dirs) > 1 {
			if _, err := Open(kubelet, Options{}); err == nil || !strings.Contains(err.Error(), "volumes is not the agent's") {
				t.Errorf("%s, as the state directory: %v", name, err)
			}
		}
		if len(dirs) == 3 {
			if _, err := os.Stat(filepath.Join(kubelet, "pods/uid/volumes")); err != nil {
				t.Error(err)
			}
		}
	}
}
