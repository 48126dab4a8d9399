package live

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// maxMountLine is far above what a line of mountinfo can be: two paths, escaped,
// and a page of options each for the mount and the file system.
const maxMountLine = 1 << 20

// shared tells from /proc/PID/mountinfo whether a mount is in a peer group, so
// that what is mounted in it appears in all the others (mount_namespaces(7)). It
// reads no further than it has to: a container can make 100 000 mounts
// (/proc/sys/fs/mount-max).
func shared(mountinfo io.Reader, id uint64) (bool, error) {
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(nil, maxMountLine)
	for lines.Scan() {
		// id, parent, device, root, mount point, options, then optional fields up
		// to a "-" (proc(5)). Blanks in paths are escaped.
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 6 {
			return false, fmt.Errorf("mountinfo: line %.64q", lines.Bytes())
		}
		if n, err := strconv.ParseUint(string(fields[0]), 10, 64); err != nil || n != id {
			continue
		}
		for _, f := range fields[6:] {
			if string(f) == "-" {
				return false, nil
			}
			if bytes.HasPrefix(f, []byte("shared:")) {
				return true, nil
			}
		}
		return false, fmt.Errorf("mountinfo: line %.64q", lines.Bytes())
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("mountinfo: %w", err)
	}
	return false, errors.New("mountinfo: root mount isn't in it")
}
