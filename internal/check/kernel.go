package check

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// oldest is the first kernel that is tested. Ring buffer and CAP_BPF are from
// 5.8, so that 5.8 and 5.9 may work.
const (
	oldestMajor, oldestMinor     = 5, 10
	possibleMajor, possibleMinor = 5, 8
)

// version reads the running kernel's; release is its text.
func (m Machine) version() (major, minor int, release string, err error) {
	data, err := os.ReadFile(filepath.Join(m.Proc, "sys/kernel/osrelease"))
	if err != nil {
		return 0, 0, "", err
	}
	release = strings.TrimSpace(string(data))
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return 0, 0, release, fmt.Errorf("release %q: %w", release, err)
	}
	return major, minor, release, nil
}

func older(major, minor, thanMajor, thanMinor int) bool {
	return major < thanMajor || major == thanMajor && minor < thanMinor
}

// Platform looks whether there is a sensor for this system at all.
func (m Machine) Platform() Row {
	if m.OS != "linux" || m.Arch != "amd64" && m.Arch != "arm64" {
		return Row{
			Name: "platform", Status: Fail, Detail: m.OS + "/" + m.Arch,
			Advice: "beesting needs Linux on amd64 or arm64",
		}
	}
	return Row{Name: "platform", Status: OK, Detail: m.OS + "/" + m.Arch}
}

// Kernel looks at the version.
func (m Machine) Kernel() Row {
	r := Row{Name: "kernel", Status: OK}
	major, minor, release, err := m.version()
	switch {
	case err != nil:
		r.Status, r.Detail = Warn, fmt.Sprintf("version not known: %v", err)
		r.Advice = "mount procfs"
		return r
	case older(major, minor, possibleMajor, possibleMinor):
		r.Status = Fail
		r.Advice = fmt.Sprintf("take %d.%d or later", oldestMajor, oldestMinor)
	case older(major, minor, oldestMajor, oldestMinor):
		r.Status = Warn
		r.Advice = fmt.Sprintf("not tested before %d.%d", oldestMajor, oldestMinor)
	}
	r.Detail = release
	return r
}

// BTF looks for the kernel's description of its types, which every mode but
// fanotify needs.
func (m Machine) BTF() Row {
	path := filepath.Join(m.Sys, "kernel/btf/vmlinux")
	f, err := os.Open(path)
	if err != nil {
		r := Row{Name: "BTF", Status: Fail, Detail: fmt.Sprintf("no type information: %v", err)}
		r.Advice = "take a kernel with CONFIG_DEBUG_INFO_BTF=y, as all large distributions build it"
		if errors.Is(err, fs.ErrPermission) {
			r.Advice = "run as root"
		}
		if m.auto() || m.Mode == ModeFanotify {
			r.Status = Warn
			r.Advice += "; without it only fanotify is left, which sees less"
		}
		return r
	}
	defer f.Close()
	return Row{Name: "BTF", Status: OK, Detail: path}
}

func (m Machine) lsm() Row {
	r := Row{Name: "LSM list"}
	data, err := os.ReadFile(filepath.Join(m.Sys, "kernel/security/lsm"))
	if err != nil {
		r.Status, r.Detail = Warn, fmt.Sprintf("not known: %v", err)
		r.Advice = "mount -t securityfs securityfs /sys/kernel/security; the row \"attach lsm\" tells without it"
		return r
	}
	list := strings.TrimSpace(string(data))
	r.Status, r.Detail = OK, list
	if !slices.Contains(strings.Split(list, ","), "bpf") {
		r.Status = Warn
		r.Detail += ", without bpf"
		r.Advice = fmt.Sprintf("boot with lsm=%s for the cheapest attach mode; the others do without", strings.Trim(list+",bpf", ","))
	}
	return r
}

// lockdown reads the form "none [integrity] confidentiality".
func (m Machine) lockdown() Row {
	r := Row{Name: "lockdown", Status: OK}
	data, err := os.ReadFile(filepath.Join(m.Sys, "kernel/security/lockdown"))
	if err != nil {
		r.Detail = "none, or not known"
		return r
	}
	_, rest, _ := strings.Cut(string(data), "[")
	r.Detail, _, _ = strings.Cut(rest, "]")
	if r.Detail == "confidentiality" {
		// security/lockdown: BPF_READ_KERNEL and KPROBES are refused.
		r.Detail += ": kprobe is closed, lsm and fentry work"
	}
	return r
}

func (m Machine) cgroups() Row {
	r := Row{Name: "cgroups", Status: OK}
	base := filepath.Join(m.Sys, "fs/cgroup")
	switch {
	case exists(filepath.Join(base, "cgroup.controllers")):
		r.Detail = "v2"
	case exists(filepath.Join(base, "unified/cgroup.procs")):
		r.Detail = "hybrid: v1 with the unified hierarchy beside it"
	default:
		r.Status, r.Detail = Warn, "no unified hierarchy (v2) at "+base
		r.Advice = "without it the container of an outside process is not known: boot with systemd.unified_cgroup_hierarchy=1, or mount cgroup2"
	}
	return r
}

func (m Machine) audit() Row {
	if exists(filepath.Join(m.Proc, "self/loginuid")) {
		return Row{Name: "audit", Status: OK, Detail: "login user and session are known"}
	}
	return Row{
		Name: "audit", Status: Warn, Detail: "the kernel keeps no login user",
		Advice: "accesses lack the login user and the audit session; needs CONFIG_AUDIT=y",
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
