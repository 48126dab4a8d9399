package exporter

import (
	"flag"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/beesting-otel/beesting"
)

var update = flag.Bool("update", false, "write the golden files and docs/telemetry.md's generated parts")

func TestMain(m *testing.M) { runWithLeakCheck(m) }

// at is the moment of the sample accesses.
var at = time.Date(2026, 11, 23, 18, 4, 5, 123456789, time.UTC)

// sampleAccess is a read from within the token's own pod, with every field
// set that such an access can have.
func sampleAccess() beesting.Access {
	return beesting.Access{
		ID:           beesting.AccessID{0x5a, 0x1c, 0x0f, 0xfe, 0xe1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		Incident:     beesting.IncidentID{0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36},
		Kind:         beesting.AccessOpen,
		Outcome:      beesting.OutcomeAllowed,
		Time:         at,
		ObservedTime: at.Add(1500 * time.Microsecond),
		EndTime:      at.Add(2345 * time.Microsecond),
		Reads:        2,
		Placement: beesting.Placement{
			ID:        77,
			TokenID:   "bt-9f3c2a7d51e04b68",
			Token:     beesting.Token{Name: "aws-prod", Kind: "aws-credentials", Path: "/root/.aws/credentials", Mode: 0o600, Content: []byte("never told")},
			Container: sampleContainer(),
			HostPath:  "/var/lib/beesting/tokens/9f3c/aws-prod",
			PlantedAt: at.Add(-time.Hour),
		},
		File:  beesting.File{DevMajor: 259, DevMinor: 2, Inode: 131842, Generation: 7, Flags: 0o100000 | 0o2000000},
		Actor: beesting.ActorWorkload,
		Process: beesting.Process{
			PID: 48213, TID: 48213, ParentPID: 48190,
			StartTime: at.Add(-3 * time.Millisecond), ParentStartTime: at.Add(-40 * time.Second),
			EntryPID: 48190, EntryBootTime: 5_000_000_000,
			UID: 0, EUID: 0, GID: 0, EGID: 0,
			LoginUID: beesting.LoginUIDUnset, AuditSession: beesting.AuditSessionUnset,
			SessionLeaderPID: 48190, CgroupID: 10342,
			Comm: "cat", Executable: "/bin/busybox",
			Args:             []string{"cat", "/root/.aws/credentials"},
			WorkingDirectory: "/srv/shop",
			Capabilities:     0xa80425fb, // what containerd gives a container
			Namespaces:       beesting.Namespaces{Mount: 4026532577, PID: 4026532579, Net: 4026532510, User: 4026531837, Cgroup: 4026532580},
			Ancestors: []beesting.Ancestor{
				{PID: 48190, StartTime: at.Add(-40 * time.Second), Comm: "sh"},
			},
		},
		Count: 1,
	}
}

func sampleContainer() *beesting.Container {
	return &beesting.Container{
		ID:           "3f4e5d6c7b8a99887766554433221100ffeeddccbbaa99887766554433221100",
		Name:         "shop",
		ImageName:    "registry.example.com/web/shop",
		ImageTags:    []string{"2.7.1"},
		ImageDigests: []string{"sha256:afcc7f1ac1b49db317a7196c902e61c6c3c4607d63599ee1a82d702d249a0ccb"},
		Runtime:      "containerd", RuntimeVer: "v2.4.2",
		PID: 48100, CreatedAt: at.Add(-2 * time.Hour),
		Pod: beesting.Pod{
			ID: "sandbox", Name: "shop-6d4cf56db6-x7k2p", Namespace: "web",
			UID:         "1b6e2f0c-6f5e-4a59-9d0a-1a5b3c2d4e5f",
			Labels:      map[string]string{"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop-eu"},
			Annotations: map[string]string{"example.com/note": "not told", "example.com/contact": "shop@example.com"},
			Workload: &beesting.Workload{
				StartTime: at.Add(-2 * time.Hour), NodeUID: "0c5d3f0e-2f57-4c6b-9a51-7f1f2d3c4b5a", ClusterUID: "218fc5a9-a5f1-4b54-aa05-46717d0ab26d",
				Owners: []beesting.Owner{
					{Group: "apps", Kind: "ReplicaSet", Name: "shop-6d4cf56db6", UID: "rs"},
					{Group: "apps", Kind: "Deployment", Name: "shop", UID: "deployment"},
				},
				Labels: map[string]string{"team": "checkout", "app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop-eu"},
			},
		},
		CgroupPath: "/kubepods/pod1b6e2f0c/3f4e",
	}
}

// outsiderAccess is a write from another pod, with every optional field set.
func outsiderAccess() beesting.Access {
	a := sampleAccess()
	a.ID[0], a.Incident[0] = 0x77, 0x78
	a.Outcome, a.ErrorType = beesting.OutcomeDenied, "EACCES"
	a.EndTime, a.Reads = time.Time{}, 0
	a.Actor = beesting.ActorOtherContainer
	a.File.Flags = 0o1 | flagTruncate | flagCreate | 0o2000
	a.ActorContainer = &beesting.Container{
		ID: "aaaa5d6c7b8a99887766554433221100ffeeddccbbaa99887766554433221100", Name: "debug", ImageName: "docker.io/library/alpine",
		Pod: beesting.Pod{Name: "node-debugger-k9x", Namespace: "default", UID: "77aa2f0c-6f5e-4a59-9d0a-1a5b3c2d4e5f", Workload: &beesting.Workload{
			Owners: []beesting.Owner{{Group: "batch", Kind: "Job", Name: "node-debugger", UID: "job"}}, Unresolved: beesting.UnresolvedForbidden,
		}},
	}
	a.Process.UID, a.Process.EUID, a.Process.GID, a.Process.EGID = 1000, 0, 1000, 0
	a.Process.LoginUID, a.Process.AuditSession = 1000, 12
	a.Process.Comm = "sh"
	a.Process.Executable, a.Process.ExecutableTruncated = "bin/busybox", true
	a.Process.Args = []string{"sh", "-c", "curl -u bob:hunter2 https://example.com > /x\xff"}
	a.Process.ArgsTruncated = true
	a.Count = 3
	a.Partial = []string{"process.executable"}
	return a
}

// hostAccess is a read of a file of the host, as `beesting watch` reports it.
func hostAccess() beesting.Access {
	a := sampleAccess()
	a.ID[0], a.Incident[0] = 0x11, 0x12
	a.Placement.Container = nil
	a.Placement.Token = beesting.Token{Name: "passwords-txt", Path: "/srv/backup/passwords.txt"}
	a.Placement.TokenID, a.Placement.HostPath = "passwords-txt", "/srv/backup/passwords.txt"
	a.Actor = beesting.ActorHost
	a.Process.LoginUID, a.Process.AuditSession = 1000, 12
	return a
}

// bareAccess is an execution, from the host, of a token in a container that
// belongs to no pod, and about which little could be found out.
func bareAccess() beesting.Access {
	a := sampleAccess()
	a.ID[0], a.Incident[0] = 0x22, 0x23
	c := *sampleContainer()
	c.Pod = beesting.Pod{}
	c.ImageDigests = nil
	a.Placement.Container = &c
	a.Placement.Token.Kind = ""
	a.Actor = beesting.ActorHost
	a.Kind = beesting.AccessExec
	a.EndTime, a.Reads = time.Time{}, 0
	a.File.Flags |= 0o40
	a.Process.Args, a.Process.WorkingDirectory, a.Process.Ancestors = nil, "", nil
	a.Process.Namespaces, a.Process.Capabilities = beesting.Namespaces{}, 0
	a.Partial = []string{"process.args"}
	return a
}

// symlinkAccess is a symbolic link that a workload made, which has a detail.
func symlinkAccess() beesting.Access {
	a := pointAccess(beesting.AccessSymlink)
	a.ID[0] = 0x33
	a.Detail = "../../root/.aws/credentials"
	return a
}

// pointAccess is an access of a kind that happens at once, by the workload.
func pointAccess(kind beesting.AccessKind) beesting.Access {
	a := sampleAccess()
	a.ID[0], a.ID[1] = 0x44, byte(slices.IndexFunc(kindTable, func(r kindRule) bool { return r.kind == kind }))
	a.Kind = kind
	a.EndTime, a.Reads = time.Time{}, 0
	return a
}

// sampleGap is three opens that nobody saw.
func sampleGap() beesting.Gap {
	return beesting.Gap{
		Placement: sampleAccess().Placement, Kind: beesting.AccessOpen, Count: 3,
		From: at.Add(-2 * time.Second), To: at, Cause: "ring_full",
	}
}

func samples() map[string]beesting.Access {
	return map[string]beesting.Access{
		"workload-stat":  pointAccess(beesting.AccessStat),
		"symlink":        symlinkAccess(),
		"workload-read":  sampleAccess(),
		"outsider-write": outsiderAccess(),
		"host-read":      hostAccess(),
		"container-exec": bareAccess(),
	}
}

// ownedAccesses are accesses between pods of each kind of owner, and of one that the
// conventions have no attribute for.
func ownedAccesses() []beesting.Access {
	var all []beesting.Access
	for _, k := range append(slices.Clone(ownerKindRows), ownerKind{group: "argoproj.io", kind: "Rollout"}) {
		a := outsiderAccess()
		w := &beesting.Workload{Owners: []beesting.Owner{{Group: k.group, Kind: k.kind, Name: "canary"}}, Unresolved: beesting.UnresolvedAway}
		a.Placement.Container.Pod.Workload, a.ActorContainer.Pod.Workload = w, w
		all = append(all, a)
	}
	return all
}

// sampleMapping is the mapping of the golden files.
func sampleMapping(t testing.TB) *Mapping {
	t.Helper()
	return mustMapping(t, MappingOptions{
		Node:      Node{Name: "worker-1", HostName: "worker-1.example.com", HostID: "fdbf79e8af94cb7f9e8df36789187052"},
		PodLabels: []string{"team"}, PodAnnotations: []string{"example.com/contact"},
		Version: "v0.1.0-golden",
		Getenv:  envOf("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=prod,deployment.environment.name=eu%2Dwest"),
	})
}

func mustMapping(t testing.TB, o MappingOptions) *Mapping {
	t.Helper()
	m, err := NewMapping(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// envOf makes a getenv of names and values.
func envOf(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i+1 < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// asMap makes attributes comparable; it fails on a key that is there twice.
func asMap(t testing.TB, attrs []attribute.KeyValue) map[string]any {
	t.Helper()
	m := object(attrs)
	if len(m) != len(attrs) {
		t.Errorf("%d attributes with %d keys: a key is there twice", len(attrs), len(m))
	}
	return m
}
