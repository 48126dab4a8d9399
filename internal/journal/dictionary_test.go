package journal

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

var update = flag.Bool("update", false, "write the dictionary, which makes journals unreadable that were written with another")

// typical is an access as there are many, with all that one can have.
func typical(kind beesting.AccessKind, ongoing bool) Entry {
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
	sum := strings.Repeat("0", 64)
	pod := beesting.Pod{
		ID: sum, Name: "app-5d4f8c7b9d-abcde", Namespace: "default", UID: "00000000-0000-4000-8000-000000000000",
		Labels: map[string]string{
			"app": "app", "app.kubernetes.io/name": "app", "app.kubernetes.io/instance": "app", "app.kubernetes.io/component": "server",
			"app.kubernetes.io/version": "1.0.0", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "app-1.0.0",
			"pod-template-hash": "5d4f8c7b9d", "controller-revision-hash": "5d4f8c7b9d", "statefulset.kubernetes.io/pod-name": "app-0",
		},
		Annotations: map[string]string{
			"kubernetes.io/config.source": "api", "kubernetes.io/config.seen": "2026-01-02T03:04:05.123456789Z",
			"prometheus.io/scrape": "true", "prometheus.io/port": "8080",
		},
		Workload: &beesting.Workload{
			StartTime: at, NodeUID: "00000000-0000-4000-8000-000000000000", ClusterUID: "00000000-0000-4000-8000-000000000000",
			Labels: map[string]string{"app": "app"}, Annotations: map[string]string{"example.com/team": "app"},
			Owners: []beesting.Owner{
				{Group: "apps", Kind: "ReplicaSet", Name: "app-5d4f8c7b9d", UID: "00000000-0000-4000-8000-000000000000"},
				{Group: "apps", Kind: "Deployment", Name: "app", UID: "00000000-0000-4000-8000-000000000000"},
			},
		},
	}
	container := beesting.Container{
		ID: sum, Name: "app", ImageName: "docker.io/library/app", ImageTags: []string{"latest"}, ImageDigests: []string{"docker.io/library/app@sha256:" + sum},
		Runtime: "containerd", RuntimeVer: "2.4.2", PID: 1000, CreatedAt: at, Pod: pod,
		CgroupPath: "kubepods-besteffort-pod00000000_0000_4000_8000_000000000000.slice:cri-containerd:" + sum,
	}
	a := beesting.Access{
		Kind: kind, Outcome: beesting.OutcomeAllowed, Time: at, ObservedTime: at, EndTime: at, Ongoing: ongoing, Reads: 1, Count: 1,
		Actor: beesting.ActorWorkload,
		Placement: beesting.Placement{
			ID: 1, TokenID: strings.Repeat("a", 26), Container: &container, PlantedAt: at,
			HostPath: "/var/lib/kubelet/plugins/kubernetes.io/csi/pv/" + sum + "/globalmount/data",
			Token:    beesting.Token{Name: "aws-credentials", Kind: "aws-credentials", Path: "/root/.aws/credentials", Mode: 0o600},
		},
		File: beesting.File{DevMinor: 40, Inode: 1000, Flags: 0x8000},
		Process: beesting.Process{
			PID: 1000, TID: 1000, ParentPID: 1000, StartTime: at, ParentStartTime: at, EntryPID: 1000, EntryBootTime: 1 << 40,
			LoginUID: beesting.LoginUIDUnset, AuditSession: beesting.AuditSessionUnset, SessionLeaderPID: 1000, CgroupID: 1000,
			Comm: "cat", Executable: "/usr/bin/cat", Args: []string{"/bin/sh", "-c", "cat", "/root/.aws/credentials", "/var/run/secrets/kubernetes.io/serviceaccount/token"},
			WorkingDirectory: "/", Capabilities: 0xa80425fb,
			Namespaces: beesting.Namespaces{Mount: 4026532180, PID: 4026532181, Net: 4026531833, User: 4026531837, Cgroup: 4026531835},
			Ancestors:  []beesting.Ancestor{{PID: 1000, StartTime: at, Comm: "bash"}, {PID: 1000, StartTime: at, Comm: "sh"}, {PID: 1000, StartTime: at, Comm: "containerd-shim"}},
		},
	}
	return Entry{Recorded: at, Access: &a, Ended: !ongoing}
}

// TestDictionary: the dictionary is what these entries are, the most frequent ones
// last, where a reference to them is shortest. It may change with the magic only; as
// long as no version was released that wrote it, -update makes it anew.
func TestDictionary(t *testing.T) {
	c := must(newCodec())
	other := typical(beesting.AccessStat, false)
	other.Access.Outcome, other.Access.ErrorType, other.Access.Partial = beesting.OutcomeDenied, "EACCES", []string{"process.args", "process.executable"}
	other.Access.Actor, other.Access.ActorContainer = beesting.ActorOtherContainer, other.Access.Placement.Container
	gap := Entry{Recorded: other.Recorded, Gap: &beesting.Gap{Placement: other.Access.Placement, Kind: beesting.AccessOpen, Count: 1, From: other.Recorded, To: other.Recorded, Cause: "restart"}}
	var want []byte
	for _, e := range []Entry{gap, other, typical(beesting.AccessOpen, false), typical(beesting.AccessOpen, true)} {
		want = must(c.encode(want, &e))
	}
	if *update {
		if err := os.WriteFile("dictionary", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(want, dictionary) {
		t.Error("the dictionary is not that of these entries: what was written with it can be read with no other")
	}
}

// One entry for itself takes a fifth of what it is, as most commits have one.
func TestCompression(t *testing.T) {
	c := must(newCodec())
	e := typical(beesting.AccessOpen, true)
	a := e.Access
	a.ID[0], a.Incident[3], a.Process.PID, a.Process.StartTime = 7, 9, 31337, time.Now()
	a.Placement.TokenID, a.Placement.HostPath = "bsxt3ktxejc7l7oorwmdodkybi", "/var/lib/beesting/x/y"
	a.Placement.Container.ID = fmt.Sprintf("%064x", 1<<62-1)
	a.Placement.Container.Pod.Name = "checkout-7c9b64f4d8-x2x9k"
	a.Process.Args = []string{"python3", "-c", "print(open('/root/.aws/credentials').read())"}
	e.Seq = 1
	var f frame
	f.add([]Entry{e}, must(c.encode(room(1), &e)))
	packed := c.pack(&f)
	if plain, got := len(f.payload()), len(packed.payload()); got*5 > plain {
		t.Errorf("%d bytes are %d compressed", plain, got)
	} else {
		t.Logf("%d bytes are %d compressed", plain, got)
	}
}
