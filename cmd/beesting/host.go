package main

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"

	"github.com/beesting-otel/beesting/exporter"
)

// hostNode says who this host is. In a container it looks past its own root and
// host name: process 1 is the host's where the pid namespace is.
func hostNode(proc string) exporter.Node {
	n := exporter.Node{HostID: machineID(filepath.Join(proc, "1/root/etc/machine-id"), "/etc/machine-id")}
	own, err := os.Readlink(filepath.Join(proc, "self/ns/uts"))
	first, firstErr := os.Readlink(filepath.Join(proc, "1/ns/uts"))
	if err == nil && firstErr == nil && own != first {
		return n // the host name is a container's
	}
	if name, err := os.Hostname(); err == nil {
		n.HostName = name
	}
	return n
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
