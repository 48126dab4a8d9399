package cgroup

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeFS is an FS of a directory that is no cgroup file system: names are all that
// counts here.
func fakeFS(t *testing.T, dirs ...string) *FS {
	t.Helper()
	root := t.TempDir()
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return &FS{dir: f, mount: root}
}

func TestPodContainers(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, 64) }
	const slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
	want := map[string]string{
		id("a"): slice + "cri-containerd-" + id("a") + ".scope",
		id("b"): slice + "crio-" + id("b") + ".scope",
		id("c"): "/kubepods/besteffort/pod1-2/" + id("c"),
		id("d"): "/kubepods/pod1-2/crio-" + id("d"),
		id("e"): "/system.slice/cri-containerd-" + id("e") + ".scope", // no cgroup parent was given
		id("f"): "/docker/1/kubelet.slice/kubelet-kubepods.slice/cri-containerd-" + id("f") + ".scope",
	}
	dirs := []string{
		"/system.slice/docker-" + id("1") + ".scope", "/docker/" + id("1"), "/user.slice/libpod-" + id("1") + ".scope",
		slice + "crio-conmon-" + id("2") + ".scope", slice + "cri-containerd-" + id("2")[1:] + ".scope",
		// A container can make such a cgroup inside of its own.
		slice + "cri-containerd-" + id("a") + ".scope/kubepods/" + id("3"),
		strings.Repeat("/deep", maxDepth) + "/cri-containerd-" + id("4") + ".scope",
		"/kubepods-not/" + id("5"),
	}
	for _, path := range want {
		dirs = append(dirs, path)
	}
	got, err := fakeFS(t, dirs...).PodContainers()
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
}
