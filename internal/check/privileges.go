package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Capability numbers, include/uapi/linux/capability.h.
const (
	capChown         = 0
	capDACReadSearch = 2
	capFowner        = 3
	capSysPtrace     = 19
	capSysAdmin      = 21
	capSysResource   = 24
	capPerfmon       = 38
	capBPF           = 39
)

// need is a capability and what becomes impossible without it.
type need struct {
	bit     uint
	name    string
	instead uint // does as well; 0 for none
	why     string
}

// sensorNeeds are what attaching and watching take.
func (m Machine) sensorNeeds() []need {
	if m.Mode == ModeFanotify {
		return []need{{capSysAdmin, "CAP_SYS_ADMIN", 0, "be asked before a file is opened"}}
	}
	needs := []need{
		{capBPF, "CAP_BPF", capSysAdmin, "load programs"},
		{capPerfmon, "CAP_PERFMON", capSysAdmin, "attach them"},
	}
	// Since 5.11 BPF memory is accounted to the cgroup, not to RLIMIT_MEMLOCK.
	if major, minor, _, err := m.version(); err == nil && older(major, minor, 5, 11) {
		needs = append(needs, need{capSysResource, "CAP_SYS_RESOURCE", 0, "lock memory for them before Linux 5.11"})
	}
	return needs
}

// agentNeeds are what planting, and finding tokens inside containers, takes on
// top.
func agentNeeds() []need {
	return []need{
		{capSysPtrace, "CAP_SYS_PTRACE", 0, "look into containers through /proc/PID/root"},
		{capDACReadSearch, "CAP_DAC_READ_SEARCH", 0, "pass directories of other users there"},
		{capChown, "CAP_CHOWN", 0, "give a token to the user that its container runs as"},
		{capFowner, "CAP_FOWNER", 0, "set the mode of such a token"},
	}
}

// Privileges looks at the capabilities that the agent needs.
func (m Machine) Privileges() Row { return m.privileges(append(m.sensorNeeds(), agentNeeds()...)) }

// SensorPrivileges looks at those that watching files of the host takes.
func (m Machine) SensorPrivileges() Row { return m.privileges(m.sensorNeeds()) }

func (m Machine) privileges(needs []need) Row {
	r := Row{Name: "privileges"}
	effective, err := m.capabilities()
	if err != nil {
		r.Status, r.Detail = Warn, fmt.Sprintf("not known: %v", err)
		return r
	}
	var missing, all []string
	for _, n := range needs {
		all = append(all, n.name)
		if effective&(1<<n.bit) == 0 && (n.instead == 0 || effective&(1<<n.instead) == 0) {
			missing = append(missing, fmt.Sprintf("%s (to %s)", n.name, n.why))
		}
	}
	if len(missing) > 0 {
		r.Status, r.Detail = Fail, "missing "+strings.Join(missing, ", ")
		r.Advice = "run as root, or grant " + strings.Join(all, ", ")
		return r
	}
	r.Status, r.Detail = OK, strings.Join(all, ", ")
	return r
}

// capabilities reads the effective set of this process.
func (m Machine) capabilities() (uint64, error) {
	data, err := os.ReadFile(filepath.Join(m.Proc, "self/status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if hex, found := strings.CutPrefix(line, "CapEff:"); found {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, fmt.Errorf("no CapEff in %s/self/status", m.Proc)
}

// Inode numbers of the initial namespaces, include/linux/proc_ns.h
// (PROC_USER_INIT_INO, PROC_PID_INIT_INO); user space relies on them.
const (
	initUserNS = "user:[4026531837]"
	initPIDNS  = "pid:[4026531836]"
)

// Namespaces looks whether this process sees the host's processes and has the
// host's rights.
func (m Machine) Namespaces() Row {
	r := Row{Name: "namespaces", Status: OK, Detail: "the host's"}
	user, err := os.Readlink(filepath.Join(m.Proc, "self/ns/user"))
	if err == nil && user != initUserNS {
		return Row{
			Name: r.Name, Status: Fail, Detail: "inside a user namespace, where capabilities don't count",
			Advice: "run in the host's user namespace (Kubernetes: hostUsers: true)",
		}
	}
	pid, pidErr := os.Readlink(filepath.Join(m.Proc, "self/ns/pid"))
	switch {
	case err != nil || pidErr != nil:
		r.Status, r.Detail = Warn, "not known"
	case pid != initPIDNS:
		// Where the runtime lives in the same namespace, as on a node that is
		// itself a container (kind), its process ids mean the same here.
		r.Status, r.Detail = Warn, "inside a pid namespace"
		r.Advice = "fine if the container runtime is in the same one; else run in the host's (Kubernetes: hostPID: true)"
	}
	return r
}
