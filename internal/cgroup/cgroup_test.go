package cgroup

import "testing"

func TestRuntimePath(t *testing.T) {
	for in, want := range map[string]string{
		"/kubepods/burstable/pod1/abc":                    "/kubepods/burstable/pod1/abc",
		"kubepods-besteffort-pod1.slice:cri-containerd:a": "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-a.scope",
		"system.slice:crio:a":                             "/system.slice/crio-a.scope",
		":crio:a":                                         "/system.slice/crio-a.scope",
		"-.slice:docker:a":                                "/docker-a.scope",
		"machine.slice::a":                                "/machine.slice/a.scope",
		"a.slice:x:b.slice":                               "/a.slice/b.slice",
	} {
		if got, err := RuntimePath(in); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", "relative/path", "a:b", "a:b:c:d", "nodash:crio:a", "a--b.slice:crio:a", "../x.slice:crio:a"} {
		if got, err := RuntimePath(in); err == nil {
			t.Errorf("%q: %q, want an error", in, got)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		p, parent string
		want      bool
	}{
		{"/a", "/a", true}, {"/a/b", "/a", true}, {"/ab", "/a", false}, {"/a", "/a/b", false}, {"/a", "/", true},
	} {
		if got := Within(c.p, c.parent); got != c.want {
			t.Errorf("%s within %s: %v", c.p, c.parent, got)
		}
	}
}
