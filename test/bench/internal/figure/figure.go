// Package figure is what the benchmark's part in the VM tells the part outside.
package figure

// The ways of watching that are measured.
const (
	// Bare: nothing watches, in the boot with the programs. BareAgain: after they
	// have come and gone, to show that they left nothing behind.
	Bare      = "bare"
	BareAgain = "bare again"
	// EmptyLSM: BPF LSM programs that do nothing.
	EmptyLSM = "empty lsm"
	// ByNumber and ByPermission: a kprobe with a hash of inode and device
	// numbers, at security_file_open and at inode_permission.
	ByNumber     = "kprobe by number"
	ByPermission = "kprobe by permission"
	// Sensor modes are "sensor " and the mode's name, in the default tier.
	SensorPrefix = "sensor "
	// Recon is the mode lsm in the recon tier, TokenOpen in the default tier
	// while somebody has a watched file open.
	Recon     = "recon"
	TokenOpen = "token open"
	// Fanotify and Audit: a mark, a watch, on one file beside those touched.
	Fanotify = "fanotify"
	Audit    = "audit"
)

// The boots; each is an argument of the guest's program. Audit has one to
// itself: once it has been on, every later task carries its context
// (audit_ever_enabled, kernel/audit.c).
const (
	BootWatchers = "watchers"
	BootAudit    = "audit"
	// BootMemory measures memory, without counting instructions, BootSizes
	// programs.
	BootMemory = "memory"
	BootSizes  = "sizes"
)

// The operations, each on files that nobody watches. Exec is one execve of a
// static program, Process the vfork, one execve, the end and the wait.
const (
	Open    = "open"
	Stat    = "stat"
	Read    = "read"
	Mmap    = "mmap"
	Exec    = "exec"
	Process = "process"
)

// Ops are the operations in the order of the report.
var Ops = [...]string{Open, Stat, Read, Mmap, Exec, Process}

// Counts are the numbers of watched inodes.
var Counts = [...]int{1, 1000, 100000}

// Figure is one line of the guest's output.
type Figure struct {
	// Default is set in one line only: the mode that the sensor takes by itself
	// on this kernel.
	Default string `json:"default,omitempty"`
	Way     string `json:"way,omitempty"`
	// Watched is the number of watched inodes.
	Watched int `json:"watched,omitempty"`
	// Instructions of one operation, by operation, and Spread by how much more the
	// dearest of the children that measured it took than the cheapest.
	Instructions map[string]float64 `json:"instructions,omitempty"`
	Spread       map[string]float64 `json:"spread,omitempty"`
	// Runs is how often each eBPF program runs in one operation, by operation
	// and program. Measured with the first of Counts only.
	Runs map[string]map[string]float64 `json:"runs,omitempty"`

	Memory *Memory `json:"memory,omitempty"`
	Sizes  *Sizes  `json:"sizes,omitempty"`
}

// Memory is what watching costs, from before the sensor is opened to after
// Watched inodes are watched. All in bytes, and for all of them together.
type Memory struct {
	Mode    string `json:"mode"`
	Watched int    `json:"watched"`
	// Maps is what the kernel charges for the maps (memlock in their fdinfo),
	// opened but without watches and with them.
	MapsEmpty, Maps uint64
	// Slab is the growth of unreclaimable kernel objects (SUnreclaim) with the
	// watches: inode storage and pinned files are among them.
	Slab uint64
	// RSS is the growth of this process's resident memory with the watches.
	RSS uint64
	// Descriptors is the growth of the number of open files with the watches.
	Descriptors int
	// Used is the growth of all memory in use (MemTotal - MemAvailable) with the
	// watches, page cache left out.
	Used uint64
}

// Sizes are the programs of the sensor in one mode and tier.
type Sizes struct {
	Mode, Tier string
	// Unavailable says why this kernel doesn't have this mode.
	Unavailable string `json:",omitempty"`
	Programs    []Program
	// LoadMilliseconds from opening the sensor to its being attached and tested.
	LoadMilliseconds float64
}

// Program is one loaded program.
type Program struct {
	Name, Type string
	// Hook is the kernel function it is meant for; empty where the kernel
	// doesn't say.
	Hook string
	// Translated and Jited are sizes in bytes, Verified the number of
	// instructions that the verifier walked (0 before 5.16).
	Translated, Jited, Verified int
}
