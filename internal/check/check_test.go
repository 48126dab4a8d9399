package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const allCaps = "CapEff:\t000001ffffffffff\n"

// goodTree is what a healthy machine looks like; a value that begins with "->"
// is a symbolic link.
func goodTree() map[string]string {
	return map[string]string{
		"proc/sys/kernel/osrelease":        "6.12.41+deb12-cloud-amd64\n",
		"proc/self/status":                 "Name:\tx\n" + allCaps + "CapBnd:\t0\n",
		"proc/self/loginuid":               "4294967295",
		"proc/self/ns/user":                "->user:[4026531837]",
		"proc/self/ns/pid":                 "->pid:[4026531836]",
		"sys/kernel/btf/vmlinux":           "BTF",
		"sys/kernel/security/lsm":          "lockdown,capability,landlock,bpf",
		"sys/kernel/security/lockdown":     "[none] integrity confidentiality\n",
		"sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
	}
}

// machine makes a machine of the good tree with changes; "" removes a file.
func machine(t *testing.T, changes map[string]string) Machine {
	t.Helper()
	// Short, as a socket goes into it.
	root, err := os.MkdirTemp("", "check")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	tree := goodTree()
	for name, content := range changes {
		tree[name] = content
	}
	for name, content := range tree {
		if content == "" {
			continue
		}
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, link := strings.CutPrefix(content, "->"); link {
			err = os.Symlink(target, path)
		} else {
			err = os.WriteFile(path, []byte(content), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return Machine{
		Proc: filepath.Join(root, "proc"), Sys: filepath.Join(root, "sys"), OS: "linux", Arch: "amd64",
		NRISocket: filepath.Join(root, "nri.sock"), StateDir: filepath.Join(root, "state"), FilesDir: filepath.Join(root, "files"),
		Probe: func() []Attempt { return []Attempt{{Mode: "lsm"}, {Mode: "fentry"}, {Mode: "kprobe"}} },
	}
}

func listen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func row(t *testing.T, r Report, name string) Row {
	t.Helper()
	i := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Name == name })
	if i < 0 {
		t.Fatalf("no row %q in %+v", name, r.Rows)
	}
	return r.Rows[i]
}

func TestHealthyMachine(t *testing.T) {
	m := machine(t, nil)
	listen(t, m.NRISocket)
	r := m.All()
	for _, row := range r.Rows {
		// The test's directory may well be on a tmpfs, which is worth a warning.
		if row.Name != "state directory" && row.Status != OK || row.Status == Fail {
			t.Errorf("%+v", row)
		}
	}
	if got := row(t, r, "attach lsm").Detail; got != "works, and is what auto takes" {
		t.Errorf("attach lsm: %s", got)
	}
	if _, err := os.Lstat(m.StateDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory was made: %v", err)
	}
}

func TestRows(t *testing.T) {
	nothing := func() []Attempt {
		return []Attempt{
			{Mode: "lsm", Err: errors.New("silent")},
			{Mode: "fentry", Err: errors.New("EPERM")},
			{Mode: "kprobe", Err: errors.New("EPERM")},
		}
	}
	second := func() []Attempt {
		return []Attempt{{Mode: "lsm", Err: errors.New("silent")}, {Mode: "fentry", Note: "can miss"}, {Mode: "kprobe"}}
	}
	last := func() []Attempt {
		return append(nothing(), Attempt{Mode: "fanotify", Kinds: Kinds{{Kind: "open", Seen: true}}})
	}
	tests := []struct {
		name    string
		changes map[string]string
		change  func(*Machine)
		row     string
		status  Status
		want    string // in detail and advice
	}{
		{"old kernel", map[string]string{"proc/sys/kernel/osrelease": "4.19.0-20-amd64\n"}, nil, "kernel", Fail, "take 5.10 or later"},
		{"untested kernel", map[string]string{"proc/sys/kernel/osrelease": "5.8.1\n"}, nil, "kernel", Warn, "not tested"},
		{"oldest kernel", map[string]string{"proc/sys/kernel/osrelease": "5.10.0-30-amd64\n"}, nil, "kernel", OK, "5.10.0-30-amd64"},
		{"odd release", map[string]string{"proc/sys/kernel/osrelease": "next\n"}, nil, "kernel", Warn, `"next"`},
		{"no procfs", map[string]string{"proc/sys/kernel/osrelease": ""}, nil, "kernel", Warn, "mount procfs"},
		{"architecture", nil, func(m *Machine) { m.Arch = "riscv64" }, "platform", Fail, "linux/riscv64"},
		{"macOS", nil, func(m *Machine) { m.OS, m.Arch = "darwin", "arm64" }, "platform", Fail, "darwin/arm64"},
		{"Windows", nil, func(m *Machine) { m.OS = "windows" }, "platform", Fail, "windows/amd64"},
		{"no BTF", map[string]string{"sys/kernel/btf/vmlinux": ""}, func(m *Machine) { m.Mode = "lsm" }, "BTF", Fail, "CONFIG_DEBUG_INFO_BTF=y"},
		{"no BTF needed", map[string]string{"sys/kernel/btf/vmlinux": ""}, nil, "BTF", Warn, "only fanotify is left"},
		{"no bpf LSM", map[string]string{"sys/kernel/security/lsm": "capability,yama\n"}, nil, "LSM list", Warn, "lsm=capability,yama,bpf"},
		{"similar LSM", map[string]string{"sys/kernel/security/lsm": "capability,bpfx\n"}, nil, "LSM list", Warn, "without bpf"},
		{"no securityfs", map[string]string{"sys/kernel/security/lsm": ""}, nil, "LSM list", Warn, "mount -t securityfs"},
		{"lockdown", map[string]string{"sys/kernel/security/lockdown": "none integrity [confidentiality]\n"}, nil, "lockdown", OK, "kprobe is closed"},
		{"no lockdown", map[string]string{"sys/kernel/security/lockdown": ""}, nil, "lockdown", OK, "none"},
		{"no capabilities", map[string]string{"proc/self/status": "CapEff:\t0000000000000000\n"}, nil, "privileges", Fail, "missing CAP_BPF (to load programs), CAP_PERFMON"},
		{"CAP_SYS_ADMIN does", map[string]string{"proc/self/status": "CapEff:\t000000000028000d\n"}, nil, "privileges", OK, "CAP_BPF"},
		{"no CAP_CHOWN", map[string]string{"proc/self/status": "CapEff:\t000000000028000c\n"}, nil, "privileges", Fail, "missing CAP_CHOWN (to give"},
		{"no CAP_SYS_PTRACE", map[string]string{"proc/self/status": "CapEff:\t0000000000200004\n"}, nil, "privileges", Fail, "missing CAP_SYS_PTRACE (to look into containers"},
		{"memory lock", map[string]string{"proc/self/status": "CapEff:\t0000000000280004\n", "proc/sys/kernel/osrelease": "5.10.0"}, nil, "privileges", Fail, "missing CAP_SYS_RESOURCE"},
		{"no CapEff", map[string]string{"proc/self/status": "Name:\tx\n"}, nil, "privileges", Warn, "not known"},
		{"user namespace", map[string]string{"proc/self/ns/user": "->user:[4026532000]"}, nil, "namespaces", Fail, "hostUsers"},
		{"pid namespace", map[string]string{"proc/self/ns/pid": "->pid:[4026532000]"}, nil, "namespaces", Warn, "hostPID"},
		{"attach second", nil, func(m *Machine) { m.Probe = second }, "attach lsm", Warn, "fentry works"},
		{"attach second, taken", nil, func(m *Machine) { m.Probe = second }, "attach fentry", OK, "works; can miss, and is what auto takes"},
		{"attach nothing", nil, func(m *Machine) { m.Probe = nothing }, "attach kprobe", Fail, "EPERM"},
		{"attach only fanotify", nil, func(m *Machine) { m.Probe = last }, "attach kprobe", Warn, "fanotify works, which sees less"},
		{"attach only fanotify, taken", nil, func(m *Machine) { m.Probe = last }, "attach fanotify", Warn, "works, and is what auto takes it sees less"},
		{"attach what was chosen", nil, func(m *Machine) { m.Probe, m.Mode = second, "kprobe" }, "attach kprobe", OK, "works, and is what was asked for"},
		{"attach what was not chosen", nil, func(m *Machine) { m.Probe, m.Mode = second, "kprobe" }, "attach fentry", OK, "works; can miss"},
		{"attach refused and not chosen", nil, func(m *Machine) { m.Probe, m.Mode = second, "kprobe" }, "attach lsm", Warn, "nothing has to be done: kprobe works"},
		{"attach what was chosen, refused", nil, func(m *Machine) { m.Probe, m.Mode = last, "lsm" }, "attach lsm", Fail, "silent it is what was asked for"},
		{"attach another, refused", nil, func(m *Machine) { m.Probe, m.Mode = last, "lsm" }, "attach kprobe", Warn, "EPERM"},
		{"fanotify's privileges", map[string]string{"proc/self/status": "CapEff:\t000001ffffdfffff\n"}, func(m *Machine) { m.Mode = "fanotify" }, "privileges", Fail, "missing CAP_SYS_ADMIN (to be asked"},
		{"no pinning", nil, nil, "pinning", OK, "off"},
		{"pinning elsewhere", nil, func(m *Machine) { m.Pin, m.PinDefault = m.Sys, "/other" }, "pinning", Fail, "not on a bpffs mount -t bpf"},
		{"pinning by default", nil, func(m *Machine) { m.Pin, m.PinDefault = m.Sys+"/bee", m.Sys+"/bee" }, "pinning", Warn, "not on a bpffs: tokens are not watched"},
		{"pinning off, and pinned", nil, func(m *Machine) { m.PinDefault = m.Sys }, "pinning", Warn, "beesting uninstall"},
		{"pinning below a file", nil, func(m *Machine) { m.Pin = m.Sys + "/kernel/security/lsm/x" }, "pinning", Fail, "not a directory"},
		{"hybrid cgroups", map[string]string{"sys/fs/cgroup/cgroup.controllers": "", "sys/fs/cgroup/unified/cgroup.procs": "1"}, nil, "cgroups", OK, "hybrid"},
		{"cgroups v1", map[string]string{"sys/fs/cgroup/cgroup.controllers": ""}, nil, "cgroups", Warn, "systemd.unified_cgroup_hierarchy=1"},
		{"no audit", map[string]string{"proc/self/loginuid": ""}, nil, "audit", Warn, "CONFIG_AUDIT"},
		{"no NRI socket", nil, nil, "NRI socket", Fail, "does not exist start containerd 2"},
		{"NRI is a file", map[string]string{"nri.sock": "x"}, nil, "NRI socket", Fail, "is not a socket"},
		{"state is a file", map[string]string{"state": "x"}, nil, "state directory", Fail, "is not a directory"},
		{"state in proc", nil, func(m *Machine) { m.StateDir = "/proc/1/none" }, "state directory", Fail, "/proc/1 can't be written"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := machine(t, tt.changes)
			if tt.change != nil {
				tt.change(&m)
			}
			r := m.All()
			got := row(t, r, tt.row)
			if got.Status != tt.status || !strings.Contains(got.Detail+" "+got.Advice, tt.want) {
				t.Errorf("%+v, want %s and %q", got, tt.status, tt.want)
			}
			if tt.status == Fail && (r.Status != Fail || got.Err() == nil) {
				t.Errorf("report %s, error %v of a failing row", r.Status, got.Err())
			}
		})
	}
}

func TestStaleNRISocket(t *testing.T) {
	m := machine(t, nil)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: m.NRISocket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if r := m.NRI(); r.Status != Fail || !strings.Contains(r.Detail, "nobody listens") {
		t.Errorf("%+v", r)
	}
	if r := m.NRIPresent(); r.Status != OK {
		t.Errorf("present: %+v", r)
	}
}

func TestStateDirectoryIsLeftAsItWas(t *testing.T) {
	m := machine(t, nil)
	if err := os.Mkdir(m.StateDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if r := m.State(); r.Status == Fail {
		t.Errorf("%+v", r)
	}
	if left, err := os.ReadDir(m.StateDir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v (%v)", left, err)
	}
}

func TestReportForms(t *testing.T) {
	r := Report{Status: Warn, Rows: []Row{
		{Name: "kernel", Status: OK, Detail: "6.12"},
		{Name: "LSM list", Status: Warn, Detail: "a,b", Advice: "boot <so>", Kinds: Kinds{
			{Kind: "open", Seen: true}, {Kind: "lock", Note: "no hook"}, {Kind: "stat", Seen: true, Note: "not by handle"},
			{Kind: "access", Note: "only in the tier recon"}, {Kind: "handle", Note: "no hook"}, {Kind: "list"},
		}},
	}}
	var text, data bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteJSON(&data)); err != nil {
		t.Fatal(err)
	}
	want := "ok    kernel    6.12\nwarn  LSM list  a,b\n" +
		"                seen:     open, stat\n" +
		"                in part:  stat (not by handle)\n" +
		"                not seen: lock, handle (no hook)\n" +
		"                not seen: access (only in the tier recon)\n" +
		"                not seen: list\n" +
		"                -> boot <so>\n"
	if text.String() != want {
		t.Errorf("text:\n%s\nwant:\n%s", &text, want)
	}
	var back Report
	if err := json.Unmarshal(data.Bytes(), &back); err != nil || !reflect.DeepEqual(back.Rows, r.Rows) || back.Status != Warn {
		t.Errorf("JSON %s gives %+v (%v)", &data, back, err)
	}
}
