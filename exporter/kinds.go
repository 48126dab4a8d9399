package exporter

import (
	"slices"
	"time"

	"github.com/beesting-otel/beesting"
)

// effect is what a kind of access does to a token; the severity follows it.
type effect uint8

const (
	// looking tells that the token is there, and about it.
	looking effect = iota
	// having gives the content, or a way to it.
	having
	// changing changes the file, its attributes or its name.
	changing
)

// kindRule has everything that is said of a kind of access: in the body, by the
// severity and in docs/telemetry.md.
type kindRule struct {
	kind beesting.AccessKind
	// "cat opened X", "cat tried to open X"; aim stands behind X.
	done, todo, aim string
	effect          effect
	// flags: the open flags say something, and are told. ends: the access is an open
	// file description, which is closed some time.
	flags, ends bool
	says        string // for docs/telemetry.md
}

// kindTable has every kind. A link and a symbolic link count as a way to the
// content: that is what they are made for, by whoever can't have it yet, and
// the file stays as it is.
var kindTable = []kindRule{
	{beesting.AccessOpen, "opened", "open", "", having, true, true,
		"open, openat, openat2, creat, open_by_handle_at, io_uring's open: through any path that leads to the file, a symbolic or hard link, another mount, `/proc/PID/root`, the host's side of an overlay"},
	{beesting.AccessExec, "executed", "execute", "", having, true, true,
		"the file is executed, also as the interpreter of another one. A script's interpreter that then reads it opens it: that is an `open` besides"},
	{beesting.AccessOpenPath, "opened", "open", " as a path only (O_PATH)", looking, false, false,
		"open with O_PATH: a handle that gives no content"},
	{beesting.AccessRead, "read from", "read from", " through a descriptor that it was given", having, true, false,
		"a read through a descriptor that the process did not open itself: inherited, or received. sendfile, splice and copy_file_range read as well"},
	{beesting.AccessWrite, "wrote to", "write to", " through a descriptor that it was given", changing, true, false,
		"a write through such a descriptor"},
	{beesting.AccessReceive, "received an open descriptor of", "receive an open descriptor of", "", having, true, false,
		"a descriptor is handed over: SCM_RIGHTS over a Unix socket, pidfd_getfd"},
	{beesting.AccessMmap, "mapped", "map", " into its memory", having, true, false,
		"the content is mapped into memory, whoever opened the file"},
	{beesting.AccessStat, "asked for the attributes of", "ask for the attributes of", "", looking, false, false,
		"stat, lstat, fstat, statx, file_getattr, by a process that has not opened the file itself"},
	{beesting.AccessAccess, "asked for its permissions on", "ask for its permissions on", "", looking, false, false,
		"access, faccessat, faccessat2: would an access be allowed?"},
	{beesting.AccessReadlink, "probed", "probe", " by readlink", looking, false, false,
		"readlink of the file, which is no link: the error tells that it exists"},
	{beesting.AccessHandle, "took a file handle of", "take a file handle of", "", looking, false, false,
		"name_to_handle_at"},
	{beesting.AccessXattr, "asked for extended attributes of", "ask for extended attributes of", "", looking, true, false,
		"extended attributes are read or listed; with the flag `write`: set or removed"},
	{beesting.AccessSetattr, "changed the attributes of", "change the attributes of", "", changing, false, false,
		"mode, owner, times or size are changed: chmod, chown, utimensat, truncate, ftruncate and the like"},
	{beesting.AccessLink, "made a hard link to", "make a hard link to", "", having, false, false,
		"the file gets a further name"},
	{beesting.AccessSymlink, "made a symbolic link to", "make a symbolic link to", "", having, false, false,
		"a symbolic link is made whose target is the token: absolute, relative, or through other symbolic links"},
	{beesting.AccessRename, "renamed", "rename", "", changing, false, false,
		"a name of the file is changed, or given to another file; where a token is mounted over a file, also one of that file"},
	{beesting.AccessUnlink, "deleted", "delete", "", changing, false, false,
		"a name of the file is removed; where a token is mounted over a file, also one of that file"},
	{beesting.AccessMount, "changed a mount of", "change a mount of", "", changing, false, false,
		"something is mounted over the token, it is bound elsewhere, moved or unmounted"},
	{beesting.AccessWatch, "set a watch on", "set a watch on", " (inotify or fanotify)", looking, false, false,
		"an inotify or fanotify mark is put on the file"},
	{beesting.AccessLock, "locked", "lock", "", looking, false, false,
		"flock, locks of fcntl, leases"},
	{beesting.AccessList, "listed the directory of", "list the directory of", "", looking, false, false,
		"the directory that the token stands in is listed; only for tokens whose configuration asks for it (`watchDirectory`)"},
}

// ruleOf returns what there is to say of a kind; of one that isn't known, next
// to nothing.
func ruleOf(kind beesting.AccessKind) kindRule {
	if i := slices.IndexFunc(kindTable, func(r kindRule) bool { return r.kind == kind }); i >= 0 {
		return kindTable[i]
	}
	return kindRule{kind: kind, done: "touched", todo: "touch", effect: having}
}

// effectOf is the kind's effect, or that of the flags: an open and an extended
// attribute may be for reading or for changing.
func effectOf(a *beesting.Access) effect {
	if (a.Kind == beesting.AccessOpen || a.Kind == beesting.AccessXattr) && changes(a.File.Flags) {
		return changing
	}
	return ruleOf(a.Kind).effect
}

// hasFlags reports whether there are open flags to tell. An open that was refused
// before there was a file has none; every other has O_LARGEFILE at least, which
// 64-bit kernels set (force_o_largefile, include/linux/fcntl.h).
func hasFlags(a *beesting.Access) bool {
	return ruleOf(a.Kind).flags && (a.File.Flags != 0 || a.Outcome != beesting.OutcomeDenied)
}

// hasEnd reports whether a opened something that is closed some time.
func hasEnd(a *beesting.Access) bool {
	return ruleOf(a.Kind).ends && a.Outcome != beesting.OutcomeDenied
}

// endOf is when the span of a ends: where it began, if there is no end, none was
// seen, or the clock was set back meanwhile.
func endOf(a *beesting.Access) time.Time {
	if !hasEnd(a) || a.EndTime.Before(a.Time) {
		return a.Time
	}
	return a.EndTime
}
