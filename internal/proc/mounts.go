package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Mount is a line of mountinfo (proc(5)).
type Mount struct {
	ID      uint64
	Device  string // major:minor, decimal
	Root    string // in its file system: what a bind mount shows of its source
	Point   string // as the process sees it
	Options string
	Kind    string // of the file system
}

const (
	maxMountLine = 1 << 20 // two paths, escaped, and two pages of options
	maxMounts    = 100_000 // the kernel's limit, unless changed (fs.mount-max)
)

// Mounts returns the mounts of a process's mount namespace that it can see, the
// latest last; no more than the kernel's usual limit.
func (fs FS) Mounts(pid int) ([]Mount, error) {
	f, err := os.Open(fs.path(pid, "mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("mounts of process %d: %w", pid, err)
	}
	defer f.Close()
	all, err := parseMounts(f)
	if err != nil {
		return nil, fmt.Errorf("mounts of process %d: %w", pid, err)
	}
	return all, nil
}

func parseMounts(r io.Reader) ([]Mount, error) {
	var all []Mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMountLine)
	for len(all) < maxMounts && lines.Scan() {
		before, after, ok := bytes.Cut(lines.Bytes(), []byte(" - "))
		f, g := strings.Fields(string(before)), strings.Fields(string(after))
		if !ok || len(f) < 6 || len(g) < 1 {
			return nil, fmt.Errorf("line %.64q", lines.Bytes())
		}
		id, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("line %.64q", lines.Bytes())
		}
		all = append(all, Mount{ID: id, Device: f[2], Root: unescape(f[3]), Point: unescape(f[4]), Options: f[5], Kind: g[0]})
	}
	return all, lines.Err()
}

// unescape undoes what the kernel does with blanks and backslashes (seq_path).
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
