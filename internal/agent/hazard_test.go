package agent

import (
	"errors"
	"testing"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/nri"
)

func mount(destination, kind string, options ...string) nri.Mount {
	return nri.Mount{Source: "/src", Destination: destination, Type: kind, Options: options}
}

// The mounts that containerd gives every container in Kubernetes.
func usual() []nri.Mount {
	return []nri.Mount{
		mount("/proc", "proc", "nosuid", "noexec", "nodev"),
		mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755"),
		mount("/dev/pts", "devpts", "nosuid"),
		mount("/dev/mqueue", "mqueue", "nosuid"),
		mount("/sys", "sysfs", "nosuid", "ro"),
		mount("/sys/fs/cgroup", "cgroup", "ro"),
		mount("/etc/hosts", "bind", "rbind", "rprivate", "rw"),
		mount("/dev/termination-log", "bind", "rbind", "rprivate", "rw"),
		mount("/dev/shm", "bind", "rbind", "rprivate", "rw"),
		mount("/var/run/secrets/kubernetes.io/serviceaccount", "bind", "rbind", "rprivate", "ro"),
	}
}

func TestCheckMountPoint(t *testing.T) {
	extra := []nri.Mount{
		mount("/data", "bind", "rbind", "rw"),
		mount("/data/ro", "", "rbind", "ro"),
		mount("/conf", "bind", "rro"),
		mount("/scratch", "tmpfs", "size=1m"),
		mount("/net", "nfs"),
		mount("/usr/lib/x", "bind", "ro"),
		mount("relative/../odd/", "bind", "ro"),
		mount("/", "overlay", "ro"), // would be the root itself
	}
	for target, want := range map[string]error{
		"/root/.aws/credentials":               nil,
		"/etc/token":                           nil,
		"/var/run/secrets/tokens/api":          nil,
		"/var/run/secrets/kubernetes.io/token": nil,
		"/dev/token":                           nil, // a tmpfs of the container's own
		"/scratch/a/b":                         nil,
		"/database":                            nil,
		"/var/run/secrets/kubernetes.io/serviceaccount/token2": errReadOnly,
		"/run/secrets/kubernetes.io/serviceaccount/token2":     errReadOnly, // /var/run -> /run
		"/run/secrets/kubernetes.io/serviceaccount":            errMountExists,
		"/var/run/secrets/kubernetes.io/serviceaccount":        errMountExists,
		"/var/run/secrets":  errMountBelow,
		"/etc/hosts":        errMountExists,
		"/etc/hosts/x":      errVolume,
		"/etc":              errMountBelow,
		"/data/token":       errVolume,
		"/data/ro/token":    errReadOnly,
		"/dev/shm/token":    errVolume, // shared by the pod's containers
		"/dev/pts/token":    errKernelFS,
		"/dev/mqueue/token": errKernelFS,
		"/proc/1/token":     errKernelFS,
		"/sys/token":        errKernelFS,
		"/conf/token":       errReadOnly,
		"/net/token":        errMountUnknown,
		"/lib/x/token":      errReadOnly, // /lib -> /usr/lib
		"/odd/token":        errReadOnly,
	} {
		if err := checkMountPoint(target, append(usual(), extra...)); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%s: %v, want %v", target, err, want)
		}
	}
}

func TestAttempts(t *testing.T) {
	a := newAttempts()
	c := func(id string) beesting.Container {
		return beesting.Container{ID: id, Name: "web", Pod: beesting.Pod{UID: "u"}}
	}
	step := func(id string, want, starts bool) {
		t.Helper()
		got := a.begin(c(id)).tokens
		if got != want {
			t.Errorf("%s may be planted: %v, want %v", id, got, want)
		}
		if got {
			a.planted(c(id))
		}
		if starts {
			a.started(c(id))
		}
	}
	step("1", true, true)
	step("2", true, false) // fails with tokens
	step("3", false, true) // starts without: the tokens were the reason
	step("4", false, true) // and still are
	step("5", false, false)
	step("6", true, true) // failed without tokens too: not the tokens
	step("7", true, false)
	a.unseen() // it may have started while nobody looked
	step("8", true, true)

	a.started(c("7")) // of an earlier container, late
	other := c("9")
	other.Name = "sidecar"
	if !a.begin(other).tokens {
		t.Error("another container of the pod was held responsible")
	}
	nameless := beesting.Container{ID: "x"}
	for range 2 {
		if !a.begin(nameless).tokens {
			t.Error("containers without names were taken for one")
		}
		a.planted(nameless)
	}
	sandbox := beesting.Container{ID: "y", Name: "n", Pod: beesting.Pod{ID: "s"}}
	if place(sandbox) != "s/n" {
		t.Errorf("place %q", place(sandbox))
	}
}
