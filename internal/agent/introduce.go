package agent

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/agent/account"
	"github.com/beesting-otel/beesting/internal/proc"
)

// The variants of a kind that the kernel counts apart (bpf/sensor.h).
const (
	variantWrite  = 1
	variantDenied = 2
)

// writeOnly is O_WRONLY of include/uapi/asm-generic/fcntl.h.
const writeOnly = 1

// Introduce makes an access of a process that no event told of: the kernel's
// count names it, /proc has the rest as long as it lives, and what is known of
// its earlier touches. Everything else is named in Partial.
func (t teller) Introduce(k account.Key, last time.Duration) beesting.Access {
	e, alive := t.eventOf(k, last)
	a := t.attribute(e)
	if k.Variant == variantDenied {
		a.Outcome = beesting.OutcomeDenied // why is not counted
	}
	if !alive {
		a.Partial = append(a.Partial, partialIDs)
	}
	a.Partial = append(a.Partial, partialAncestors, partialFile)
	switch k.Kind {
	case bpf.KindXattr, bpf.KindRename, bpf.KindLink, bpf.KindSymlink:
		a.Partial = append(a.Partial, partialDetail)
	}
	return a
}

// eventOf is the event of a key as far as it can be had. alive says that the ids
// are the process's.
func (c *Core) eventOf(k account.Key, last time.Duration) (e bpf.Event, alive bool) {
	// (uid_t)-1 is nobody's, where zero would be root's.
	const unset = ^uint32(0)
	e = bpf.Event{
		Kind: k.Kind, Variant: k.Variant, Placement: k.Placement, PID: k.PID, StartTime: k.Start, Time: last,
		UID: unset, EUID: unset, GID: unset, EGID: unset, LoginUID: beesting.LoginUIDUnset, AuditSession: beesting.AuditSessionUnset,
		ExecutableTruncated: true, ArgsMissing: true,
	}
	if k.Variant == variantWrite {
		e.Flags = writeOnly
	}
	known, _ := c.seen.lives.get(life{k.PID, k.Start})
	e.CgroupID, e.EntryPID, e.EntryStartTime = known.cgroup, known.entry, known.entryStart
	now := e
	if c.ids(&now) && sameProcess(c.proc, e) {
		return now, true
	}
	return e, false
}

// ids fills in who the process is now, and returns false if it can't be told.
func (c *Core) ids(e *bpf.Event) bool {
	pid := int(e.PID)
	if !sameProcess(c.proc, *e) {
		return false
	}
	dir := filepath.Join(string(c.proc), strconv.Itoa(pid))
	b, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil || !status(string(b), e) {
		return false
	}
	if e.Comm, err = c.proc.Comm(pid); err != nil {
		return false
	}
	e.LoginUID, e.AuditSession = auditID(dir, "loginuid"), auditID(dir, "sessionid")
	if ticks, err := c.proc.StartTicks(int(e.ParentPID)); err == nil && e.ParentPID != 0 {
		e.ParentStartTime = time.Duration(ticks) * proc.Tick
	}
	if c.cgroups == nil {
		return true
	}
	if p := c.containers.pathOfProcess(pid); p != "" {
		if id, err := c.cgroups.ID(p); err == nil {
			e.CgroupID = id
		}
	}
	return true
}

// status takes the ids out of the text of /proc/PID/status, and returns false if
// it hasn't them all.
func status(text string, e *bpf.Event) bool {
	found := 0
	number := func(s string, base, bits int) uint64 {
		n, err := strconv.ParseUint(s, base, bits)
		if err == nil {
			found++
		}
		return n
	}
	id := func(s string) uint32 { return uint32(number(s, 10, 32)) } //nolint:gosec // of 32 bits
	for line := range strings.Lines(text) {
		key, rest, _ := strings.Cut(line, ":")
		v := strings.Fields(rest)
		switch {
		case key == "PPid" && len(v) == 1:
			e.ParentPID = id(v[0])
		case key == "Uid" && len(v) == 4: // real, effective, saved, of the file system
			e.UID, e.EUID = id(v[0]), id(v[1])
		case key == "Gid" && len(v) == 4:
			e.GID, e.EGID = id(v[0]), id(v[1])
		case key == "CapEff" && len(v) == 1:
			e.Capabilities = number(v[0], 16, 64)
		}
	}
	return found == 6
}

// auditID is unset also on kernels without audit support.
func auditID(dir, name string) uint32 {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return beesting.LoginUIDUnset
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return beesting.LoginUIDUnset
	}
	return uint32(n) //nolint:gosec // of 32 bits
}
