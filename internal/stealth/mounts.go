package stealth

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// mount is a line of /proc/PID/mountinfo (proc(5)).
type mount struct {
	id      uint64
	device  string // major:minor
	root    string // in its file system: what a bind mount shows of its source
	point   string // in the container
	options string
	kind    string // of the file system
}

const (
	maxMountLine = 1 << 20 // two paths, escaped, and two pages of options
	maxMounts    = 100_000 // the kernel's limit (fs.mount-max)
)

func parseMounts(r io.Reader) ([]mount, error) {
	var all []mount
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxMountLine)
	for lines.Scan() && len(all) < maxMounts {
		before, after, ok := bytes.Cut(lines.Bytes(), []byte(" - "))
		f, g := strings.Fields(string(before)), strings.Fields(string(after))
		if !ok || len(f) < 6 || len(g) < 1 {
			return nil, fmt.Errorf("mountinfo: line %.64q", lines.Bytes())
		}
		id, err := strconv.ParseUint(f[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("mountinfo: line %.64q", lines.Bytes())
		}
		all = append(all, mount{id: id, device: f[2], root: unescape(f[3]), point: unescape(f[4]), options: f[5], kind: g[0]})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("mountinfo: %w", err)
	}
	return all, nil
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

// mountOf finds the mount that is just the token: the last one at its path, as it is
// on top; or by its id, where links lead to it.
func mountOf(all []mount, name string, id uint64) *mount {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].point == name || id != 0 && all[i].id == id && path.Base(all[i].point) == path.Base(name) {
			return &all[i]
		}
	}
	return nil
}

// kubeletPod is how the source of a single file begins that the kubelet mounts:
// getPodDir and what is below it, of which the file system's own mount point can be
// missing.
var (
	podTable     = regexp.MustCompile(`^(/var/lib/kubelet|.*/kubelet)?/pods/[^/]+/(containers|volumes|etc-hosts|volume-subpaths)`)
	kubeletTable = regexp.MustCompile(`(^|/)kubelet/|^/plugins/`)
)

// hint words, in lower case.
var hintWordsTable = []string{"beesting", "honey", "canary", "decoy", "deception", "tripwire", "fake"}

func hint(text string) (word string, found bool) {
	text = strings.ToLower(text)
	for _, w := range hintWordsTable {
		if strings.Contains(text, w) {
			return w, true
		}
	}
	return "", false
}

// lookMount is what mountinfo tells of a token that is a mount.
func (r *Report) lookMount(all []mount, m *mount) {
	if m == nil {
		return
	}
	r.found(Mount, fmt.Sprintf("source %s, %s", m.root, m.kind))
	if w, ok := hint(m.root); ok {
		r.found(SourceName, fmt.Sprintf("%q in %s", w, m.root))
	}
	switch {
	case podTable.MatchString(m.root):
	case kubeletTable.MatchString(m.root):
		r.found(SourceOwn, m.root)
	default:
		r.found(SourceForm, m.root)
	}
	same := false
	for i := range all {
		o := &all[i]
		if o.device != m.device || o == m || o.root == m.root && o.point == m.point {
			continue
		}
		same = same || access(o.options) == access(m.options)
		if inside := strings.TrimSuffix(o.root, "/") + "/"; strings.HasPrefix(m.root, inside) && o.point != "/" {
			r.found(SourceSeen, fmt.Sprintf("below %s", o.point))
		}
	}
	if !same {
		r.found(Options, m.options)
	}
	if has(m.options, "ro") && !has(above(all, r.Path).options, "ro") {
		r.found(ReadOnly, m.options)
	}
}

// above is the mount that a path's directory is on.
func above(all []mount, name string) mount {
	var best mount
	for _, m := range all {
		if m.point != name && strings.HasPrefix(name, strings.TrimSuffix(m.point, "/")+"/") && len(m.point) >= len(best.point) {
			best = m
		}
	}
	return best
}

// access leaves out options that say nothing of what may be done.
func access(options string) string {
	var kept []string
	for o := range strings.SplitSeq(options, ",") {
		switch o {
		case "ro", "nosuid", "nodev", "noexec":
			kept = append(kept, o)
		}
	}
	return strings.Join(kept, ",")
}

func has(options, option string) bool {
	for o := range strings.SplitSeq(options, ",") {
		if o == option {
			return true
		}
	}
	return false
}
