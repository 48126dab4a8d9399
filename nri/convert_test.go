package nri

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/containerd/nri/pkg/api"

	"github.com/beesting-otel/beesting"
)

func TestConvert(t *testing.T) {
	c := &api.Container{
		Id: "c1", PodSandboxId: "sandbox", Name: "nginx", State: api.ContainerState_CONTAINER_CREATED, Pid: 42,
		Mounts: []*api.Mount{{Source: "/s", Destination: "/d", Type: "bind", Options: []string{"ro"}}},
		Linux: &api.LinuxContainer{CgroupsPath: "/kubepods/c1", Namespaces: []*api.LinuxNamespace{{Type: "mount"}, {Type: "user"}},
			Resources: &api.LinuxResources{Memory: &api.LinuxMemory{Limit: api.Int64(1 << 20)}, Pids: &api.LinuxPids{Limit: 10}}},
		CreatedAt: 5e9,
		User:      &api.User{Uid: 1000, Gid: 1001},
		Image:     &api.Image{Name: "registry.example:5000/shop/web:v1", Digest: "sha256:aa"},
	}
	want := Container{
		Container: beesting.Container{
			ID: "c1", Name: "nginx", ImageName: "registry.example:5000/shop/web", ImageTags: []string{"v1"},
			ImageDigests: []string{"sha256:aa"}, Runtime: "containerd", RuntimeVer: "v2.4.2", PID: 42,
			CreatedAt: time.Unix(5, 0), CgroupPath: "/kubepods/c1",
			Pod: beesting.Pod{ID: "sandbox", Name: "web-0", Namespace: "shop", UID: "uid-1",
				Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"a": "b"}},
		},
		State:  StateCreated,
		Mounts: []Mount{{Source: "/s", Destination: "/d", Type: "bind", Options: []string{"ro"}}},
		User:   &User{UID: 1000, GID: 1001},

		UserNamespace: true, MemoryLimit: 1 << 20, PidsLimit: 10,
	}
	got := runtimeInfo{"containerd", "v2.4.2"}.convert(testPod(), c)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// The pod's name of an image counts; the digest is the runtime's.
func TestConvertImage(t *testing.T) {
	const id = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, c := range map[string]struct {
		nri, containerd, crio string
		want                  []string // name, tag
	}{
		"the pod's":           {nri: "mirror.example/other:v9", containerd: "docker.io/library/nginx:1.29", want: []string{"docker.io/library/nginx", "1.29"}},
		"the pod's, as short": {nri: "mirror.example/other:v9", containerd: "nginx", want: []string{"nginx", "latest"}},
		"with a digest":       {nri: "mirror.example/other:v9", containerd: "nginx@sha256:bb", want: []string{"nginx", ""}},
		"CRI-O's":             {nri: "mirror.example/other:v9", crio: "quay.io/a/b:2", want: []string{"quay.io/a/b", "2"}},
		"an id":               {nri: "docker.io/library/nginx:1.29", containerd: id, want: []string{"docker.io/library/nginx", "1.29"}},
		"NRI's alone":         {nri: "docker.io/library/nginx:1.29", want: []string{"docker.io/library/nginx", "1.29"}},
	} {
		annotations := map[string]string{}
		if c.containerd != "" {
			annotations["io.kubernetes.cri.image-name"] = c.containerd
		}
		if c.crio != "" {
			annotations["io.kubernetes.cri-o.ImageName"] = c.crio
		}
		got := runtimeInfo{}.convert(nil, &api.Container{Image: &api.Image{Name: c.nri, Digest: "sha256:aa"}, Annotations: annotations})
		tag := ""
		if len(got.ImageTags) == 1 {
			tag = got.ImageTags[0]
		}
		if got.ImageName != c.want[0] || tag != c.want[1] || !slices.Equal(got.ImageDigests, []string{"sha256:aa"}) {
			t.Errorf("%s: %q %q %q", name, got.ImageName, got.ImageTags, got.ImageDigests)
		}
	}
}

// What CRI-O before mid-2026 and containerd 1.7 leave out.
func TestConvertFallbacks(t *testing.T) {
	c := &api.Container{
		Id: "c1", PodSandboxId: "sandbox",
		Labels: map[string]string{
			"io.kubernetes.container.name": "nginx", "io.kubernetes.pod.name": "web-0",
			"io.kubernetes.pod.namespace": "shop", "io.kubernetes.pod.uid": "uid-1",
		},
		Annotations: map[string]string{"io.kubernetes.cri.image-name": "docker.io/library/nginx:1.29"},
	}
	got := runtimeInfo{}.convert(nil, c)
	if got.Name != "nginx" || got.Pod.ID != "sandbox" || got.Pod.Name != "web-0" || got.Pod.Namespace != "shop" || got.Pod.UID != "uid-1" {
		t.Errorf("names: %+v", got)
	}
	if got.ImageName != "docker.io/library/nginx" || !slices.Equal(got.ImageTags, []string{"1.29"}) || got.ImageDigests != nil {
		t.Errorf("image: %+v", got)
	}
	if got.User != nil || !got.CreatedAt.IsZero() || got.State != StateUnknown {
		t.Errorf("absent fields: %+v", got)
	}
	if empty := (runtimeInfo{}).convert(nil, nil); empty.ID != "" {
		t.Errorf("nothing: %+v", empty)
	}
}
