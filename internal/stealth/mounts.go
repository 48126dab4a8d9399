package stealth

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/beesting-otel/beesting/internal/proc"
)

// mountOf finds the mount that is just the token: the last one at its path, as it is
// on top; or by its id, where links lead to it.
func mountOf(all []proc.Mount, name string, id uint64) *proc.Mount {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Point == name || id != 0 && all[i].ID == id && path.Base(all[i].Point) == path.Base(name) {
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
func (r *Report) lookMount(all []proc.Mount, m *proc.Mount) {
	if m == nil {
		return
	}
	r.found(Mount, fmt.Sprintf("source %s, %s", m.Root, m.Kind))
	if w, ok := hint(m.Root); ok {
		r.found(SourceName, fmt.Sprintf("%q in %s", w, m.Root))
	}
	switch {
	case podTable.MatchString(m.Root):
	case kubeletTable.MatchString(m.Root):
		r.found(SourceOwn, m.Root)
	default:
		r.found(SourceForm, m.Root)
	}
	same := false
	for i := range all {
		o := &all[i]
		if o.Device != m.Device || o == m || o.Root == m.Root && o.Point == m.Point {
			continue
		}
		same = same || access(o.Options) == access(m.Options)
		if inside := strings.TrimSuffix(o.Root, "/") + "/"; strings.HasPrefix(m.Root, inside) && o.Point != "/" {
			r.found(SourceSeen, fmt.Sprintf("below %s", o.Point))
		}
	}
	if !same {
		r.found(Options, m.Options)
	}
	if has(m.Options, "ro") && !has(above(all, r.Path).Options, "ro") {
		r.found(ReadOnly, m.Options)
	}
}

// above is the mount that a path's directory is on.
func above(all []proc.Mount, name string) proc.Mount {
	var best proc.Mount
	for _, m := range all {
		if m.Point != name && strings.HasPrefix(name, strings.TrimSuffix(m.Point, "/")+"/") && len(m.Point) >= len(best.Point) {
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
