//go:build linux && (amd64 || arm64)

package bpf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unsafe"
)

// The constants of sensor.h.
const (
	layout = 4

	bitExeMissing       = 1 << 0
	bitExeReversed      = 1 << 1
	bitExeCut           = 1 << 2
	bitExeDeleted       = 1 << 3
	bitArgsMissing      = 1 << 4
	bitArgsCut          = 1 << 5
	bitCwdMissing       = 1 << 6
	bitCwdReversed      = 1 << 7
	bitCwdCut           = 1 << 8
	bitDetailCut        = 1 << 9
	kindCopyUp     Kind = 0
)

// decode reads one record of the ring. It trusts nothing: any bytes give an
// event or a *DecodeError. The event keeps no reference to raw.
func decode(raw []byte) (Event, error) {
	var r lsmEvent
	if len(raw) != int(unsafe.Sizeof(r)) {
		return Event{}, &DecodeError{fmt.Sprintf("%d bytes, want %d", len(raw), unsafe.Sizeof(r))}
	}
	// The layout comes from the object's own BTF, and the kernel is on the same
	// machine: a plain copy is the whole of decoding.
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&r)), unsafe.Sizeof(r)), raw)

	for _, bound := range []struct {
		name      string
		is, limit int
	}{
		{"executable path", int(r.ExeLen), len(r.Exe)},
		{"arguments", int(r.ArgsLen), len(r.Args)},
		{"working directory", int(r.CwdLen), len(r.Cwd)},
		{"detail", int(r.DetailLen), len(r.Detail)},
	} {
		if bound.is > bound.limit {
			return Event{}, &DecodeError{fmt.Sprintf("%s of %d bytes", bound.name, bound.is)}
		}
	}
	switch {
	case r.Version != layout:
		return Event{}, &DecodeError{fmt.Sprintf("layout version %d, want %d", r.Version, layout)}
	case int(r.Kind) >= Kinds:
		return Event{}, &DecodeError{fmt.Sprintf("unknown kind %d", r.Kind)}
	case int(r.Ancestors) > len(r.Ancestor):
		return Event{}, &DecodeError{fmt.Sprintf("%d ancestors", r.Ancestors)}
	}
	return r.event(), nil
}

func (r *lsmEvent) event() Event {
	e := Event{
		Kind: Kind(r.Kind), Variant: r.Variant, Actor: Actor(r.Actor), Placement: r.Placement,
		Time: time.Duration(r.Time), Total: r.Total, Errno: r.Err,
		Handle: r.Handle, OpenTime: time.Duration(r.OpenTime), Reads: r.Reads, Writes: r.Writes,
		PID: r.Pid, TID: r.Tid, StartTime: time.Duration(r.StartTime),
	}
	if e.Kind == KindClose || e.Kind == kindCopyUp {
		return e // nothing else was filled in
	}
	r.process(&e)
	e.Flags, e.Mode = r.FileFlags, r.FileMode
	e.DevMajor, e.DevMinor = r.Dev>>20, r.Dev&(1<<20-1) // MAJOR and MINOR, include/linux/kdev_t.h
	e.Inode, e.Generation = r.Inode, r.Generation
	e.Detail = cString(r.Detail[:r.DetailLen])
	e.DetailTruncated = r.Bits&bitDetailCut != 0
	return e
}

func (r *lsmEvent) process(e *Event) {
	e.ParentPID, e.ParentStartTime = r.ParentPid, time.Duration(r.ParentStartTime)
	e.EntryPID, e.EntryStartTime = r.EntryPid, time.Duration(r.EntryStartTime)
	e.UID, e.EUID, e.GID, e.EGID = r.Uid, r.Euid, r.Gid, r.Egid
	e.LoginUID, e.AuditSession, e.SessionLeaderPID = r.LoginUid, r.AuditSession, r.SessionLeader
	e.CgroupID, e.Capabilities = r.CgroupId, r.Capabilities
	e.MountNS, e.PIDNS, e.NetNS, e.UserNS, e.CgroupNS = r.MntNs, r.PidNs, r.NetNs, r.UserNs, r.CgroupNs
	e.Comm = cString(r.Comm[:])
	for _, a := range r.Ancestor[:r.Ancestors] {
		e.Ancestors = append(e.Ancestors, Ancestor{
			PID: a.Pid, StartTime: time.Duration(a.StartTime), Comm: cString(a.Comm[:]),
		})
	}
	if r.Bits&bitExeMissing == 0 {
		e.Executable = path(r.Exe[:r.ExeLen], r.Bits&bitExeReversed != 0, r.Bits&bitExeCut != 0)
		if r.Bits&bitExeDeleted != 0 {
			e.Executable += " (deleted)"
		}
	}
	e.ExecutableTruncated = r.Bits&(bitExeMissing|bitExeCut) != 0
	if r.Bits&bitCwdMissing == 0 {
		e.Cwd = path(r.Cwd[:r.CwdLen], r.Bits&bitCwdReversed != 0, r.Bits&bitCwdCut != 0)
	}
	e.Args, e.ArgsTruncated = arguments(r.Args[:r.ArgsLen])
	e.ArgsTruncated = e.ArgsTruncated || r.Bits&bitArgsCut != 0
	e.ArgsMissing = r.Bits&bitArgsMissing != 0
}

// cString returns b up to its first NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// path gives a path in the form that d_path writes. One that was walked comes
// as names, last first; "…" stands for leading ones that are missing.
func path(b []byte, reversed, cut bool) string {
	if !reversed {
		return cString(b)
	}
	names := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	slices.Reverse(names)
	p := "/" + strings.Join(names, "/")
	if cut {
		p = "…" + p
	}
	return p
}

// arguments splits what lies between arg_start and arg_end: each argument ends
// with a NUL, but for one that the bound has cut. It says whether there are more
// than MaxArgs.
func arguments(b []byte) (args []string, cut bool) {
	if len(b) == 0 {
		return nil, false
	}
	args = strings.SplitN(strings.TrimSuffix(string(b), "\x00"), "\x00", MaxArgs+1)
	if len(args) > MaxArgs {
		return args[:MaxArgs], true
	}
	return args, false
}
