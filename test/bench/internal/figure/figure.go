// Package figure is what the benchmark's part in the VM tells the part outside.
package figure

// The ways of watching that are measured.
const (
	// Bare: nothing watches, in the boot with the programs. BareAgain: after they
	// have come and gone, to show that they left nothing behind.
	Bare      = "bare"
	BareAgain = "bare again"
	// EmptyLSM: a BPF LSM program that does nothing.
	EmptyLSM = "empty lsm"
	// ByNumber: a kprobe with a hash of inode and device numbers.
	ByNumber = "kprobe by number"
	// Sensor modes are "sensor " and the mode's name.
	SensorPrefix = "sensor "
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
)

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
	// Instructions of one open and close of a file that is not watched.
	Instructions float64 `json:"instructions,omitempty"`
}
