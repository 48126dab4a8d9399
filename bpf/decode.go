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
	eventVersion = 1

	bitExeMissing  = 1 << 0
	bitExeReversed = 1 << 1
	bitExeCut      = 1 << 2
	bitExeDeleted  = 1 << 3
	bitArgsMissing = 1 << 4
	bitArgsCut     = 1 << 5
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

	switch {
	case r.Version != eventVersion:
		return Event{}, &DecodeError{fmt.Sprintf("layout version %d, want %d", r.Version, eventVersion)}
	case Kind(r.Kind) != KindOpen:
		return Event{}, &DecodeError{fmt.Sprintf("unknown kind %d", r.Kind)}
	case int(r.ExeLen) > len(r.Exe):
		return Event{}, &DecodeError{fmt.Sprintf("executable path of %d bytes", r.ExeLen)}
	case int(r.ArgsLen) > len(r.Args):
		return Event{}, &DecodeError{fmt.Sprintf("arguments of %d bytes", r.ArgsLen)}
	}
	return r.event(), nil
}

func (r *lsmEvent) event() Event {
	args, cutArgs := arguments(r.Args[:r.ArgsLen])
	return Event{
		Kind:                Kind(r.Kind),
		Placement:           r.Placement,
		Time:                time.Duration(r.Time),
		PID:                 r.Pid,
		TID:                 r.Tid,
		ParentPID:           r.ParentPid,
		StartTime:           time.Duration(r.StartTime),
		ParentStartTime:     time.Duration(r.ParentStartTime),
		EntryPID:            r.EntryPid,
		EntryStartTime:      time.Duration(r.EntryStartTime),
		UID:                 r.Uid,
		EUID:                r.Euid,
		GID:                 r.Gid,
		EGID:                r.Egid,
		LoginUID:            r.LoginUid,
		AuditSession:        r.AuditSession,
		SessionLeaderPID:    r.SessionLeader,
		CgroupID:            r.CgroupId,
		Flags:               r.FileFlags,
		Mode:                r.FileMode,
		DevMajor:            r.Dev >> 20, // MAJOR and MINOR, include/linux/kdev_t.h
		DevMinor:            r.Dev & (1<<20 - 1),
		Inode:               r.Inode,
		Generation:          r.Generation,
		Comm:                cString(r.Comm[:]),
		Executable:          executable(r.Exe[:r.ExeLen], r.Bits),
		ExecutableTruncated: r.Bits&(bitExeMissing|bitExeCut) != 0,
		Args:                args,
		ArgsTruncated:       r.Bits&bitArgsCut != 0 || cutArgs,
		ArgsMissing:         r.Bits&bitArgsMissing != 0,
	}
}

// cString returns b up to its first NUL.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}

// executable gives a path in the form that d_path writes.
func executable(b []byte, bits uint8) string {
	if bits&bitExeMissing != 0 {
		return ""
	}
	if bits&bitExeReversed == 0 {
		return cString(b)
	}
	names := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	slices.Reverse(names)
	p := "/" + strings.Join(names, "/")
	if bits&bitExeCut != 0 {
		p = "…" + p
	}
	if bits&bitExeDeleted != 0 {
		p += " (deleted)"
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
