package proc

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// HostName is what uname(2) says. It is empty in a container, whose host name is
// its own: process 1 is the host's where the pid namespace is.
func (fs FS) HostName() string {
	own, err := os.Readlink(filepath.Join(string(fs), "self/ns/uts"))
	first, firstErr := os.Readlink(filepath.Join(string(fs), "1/ns/uts"))
	if err == nil && firstErr == nil && own != first {
		return ""
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
}

// HostID is the host's machine-id(5); empty if it has none. In a container it
// looks past its own root.
func (fs FS) HostID() string {
	return machineID(filepath.Join(string(fs), "1/root/etc/machine-id"), "/etc/machine-id")
}

// machineID reads the first file that has the form of machine-id(5).
func machineID(files ...string) string {
	for _, name := range files {
		data, err := os.ReadFile(name)
		id := strings.TrimSpace(string(data))
		if raw, hexErr := hex.DecodeString(id); err == nil && hexErr == nil && len(raw) == 16 {
			return id
		}
	}
	return ""
}
