package exporter

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// accessTable describes the access: identity, token, what was done, who did
// it. Names that the conventions have are theirs; all others are under
// honeytoken.*, never inside a namespace of OpenTelemetry's.
var accessTable = slices.Concat(
	identityRows, tokenRows, kindRows, touchRows, endRows, pathRows, fileRows,
	processRows, taskRows, actorRows, workloadRows, markRows, invalidRows,
)

var identityRows = []row{
	{"honeytoken.event", onLog,
		"always `honeytoken.access`: the event name once more, for back ends that drop the record's EventName (Loki up to 3.7 does)",
		func(*facts) attribute.Value { return text(EventName) }},
	{semconv.LogRecordUIDKey, onLog,
		"the access's id, 32 hexadecimal digits, the same on every repeat of the delivery: a back end may drop records that have it twice",
		func(f *facts) attribute.Value { return text(fmt.Sprintf("%x", f.access.ID[:])) }},
}

var tokenRows = []row{
	{"honeytoken.id", onBoth,
		"the canary id: unique per container and token, the same after a restart of the agent",
		func(f *facts) attribute.Value { return text(f.access.Placement.TokenID) }},
	{"honeytoken.name", onBoth,
		"the token's name in the configuration",
		func(f *facts) attribute.Value { return text(f.access.Placement.Token.Name) }},
	{"honeytoken.kind", onBoth,
		"what the token pretends to be; `generic` if the configuration doesn't say",
		func(f *facts) attribute.Value {
			if f.access.Placement.Token.Kind == "" {
				return text(beesting.KindGeneric)
			}
			return text(f.access.Placement.Token.Kind)
		}},
}

var kindRows = []row{
	{"honeytoken.access.kind", onBoth,
		"what was done; see [Kinds of access](#kinds-of-access)",
		func(f *facts) attribute.Value { return text(string(f.access.Kind)) }},
}

var touchRows = []row{
	{"honeytoken.access.flags", onBoth,
		"how the file was opened, for the kinds that go through a descriptor, as far as it is known; see [Open flags](#open-flags)",
		func(f *facts) attribute.Value {
			if !hasFlags(f.access) {
				return attribute.Value{}
			}
			return texts(openFlags(f.access.File.Flags))
		}},
	{"honeytoken.access.count", onBoth,
		"how many touches this record stands for, at least 1; see [What one touch is](#what-one-touch-is)",
		func(f *facts) attribute.Value { return attribute.Int64Value(clamped(max(f.access.Count, 1))) }},
	{"honeytoken.access.outcome", onBoth,
		"`allowed` or `denied`: whether the kernel let it through",
		func(f *facts) attribute.Value { return text(string(f.access.Outcome)) }},
	{semconv.ErrorTypeKey, onBoth,
		"why the kernel did not let it through, by its name in errno(3): `EACCES`, `EPERM`, `EBUSY`, `EXDEV` …, `_OTHER` where it isn't known; left out when the outcome is `allowed`",
		func(f *facts) attribute.Value {
			if f.access.Outcome != beesting.OutcomeDenied {
				return attribute.Value{}
			}
			if f.access.ErrorType == "" {
				return semconv.ErrorTypeOther.Value
			}
			return text(f.access.ErrorType)
		}},
	{"honeytoken.access.detail", onBoth,
		"what else the kernel was told, chosen by the actor: a symbolic link's target, a rename's new name, an extended attribute's name",
		func(f *facts) attribute.Value { return text(f.access.Detail) }},
}

var pathRows = []row{
	{semconv.FilePathKey, onBoth,
		"the token's path as its container sees it, for a file of the host as the host sees it. Where the host keeps a container's token is never told, and an actor that came by another way (a link, the host's side) is not seen to have used it",
		func(f *facts) attribute.Value { return text(filePath(f.access)) }},
	{semconv.FileNameKey, onBoth,
		"the last element of file.path",
		func(f *facts) attribute.Value {
			if filePath(f.access) == "" {
				return attribute.Value{}
			}
			return text(path.Base(filePath(f.access)))
		}},
	{semconv.FileDirectoryKey, onBoth,
		"the rest of file.path",
		func(f *facts) attribute.Value {
			if filePath(f.access) == "" {
				return attribute.Value{}
			}
			return text(path.Dir(filePath(f.access)))
		}},
}

var fileRows = []row{
	{semconv.FileModeKey, onBoth,
		"the permission bits the token was planted with, octal; left out where they aren't known",
		func(f *facts) attribute.Value {
			if f.access.Placement.Token.Mode == 0 {
				return attribute.Value{}
			}
			return text(fmt.Sprintf("%04o", f.access.Placement.Token.Mode.Perm()))
		}},
	{semconv.FileInodeKey, onBoth,
		"the inode's number, a string as the conventions have it (it has 64 bits without a sign)",
		func(f *facts) attribute.Value {
			if f.access.File.Inode == 0 {
				return attribute.Value{}
			}
			return text(strconv.FormatUint(f.access.File.Inode, 10))
		}},
	{"honeytoken.file.device", onBoth,
		"the file system's device as major:minor, as the kernel holds it; on btrfs and overlayfs it differs from what stat(2) prints",
		func(f *facts) attribute.Value {
			if f.access.File.Inode == 0 {
				return attribute.Value{}
			}
			return text(fmt.Sprintf("%d:%d", f.access.File.DevMajor, f.access.File.DevMinor))
		}},
}

// filePath is the path that may be told. HostPath of a token in a container
// stays on the node: it names the agent's state directory, and whoever reads it
// could look at every other token.
func filePath(a *beesting.Access) string {
	if a.Placement.Token.Path == "" && a.Placement.Container == nil {
		return a.Placement.HostPath
	}
	return a.Placement.Token.Path
}

var markRows = []row{
	{"honeytoken.access.partial", onBoth,
		"the parts of the access that could not be had: `placement`, `actor`, `time`, `process.executable`, `process.args`, `process.working_directory`, `detail` (cut), `count` (a share of what several processes did); left out when it is complete",
		func(f *facts) attribute.Value { return texts(f.access.Partial) }},
}

// invalidRows come last: they name what the rows before them replaced.
var invalidRows = []row{
	{"honeytoken.access.invalid_utf8", onBoth,
		"the attributes (of resource, log and span) whose bytes were not valid UTF-8 and hold U+FFFD instead; left out when there are none",
		func(f *facts) attribute.Value { return texts(slices.Sorted(slices.Values(f.invalid))) }},
}

// openFlagNames lists bits of open(2)'s flags in the order they are told. The
// values are those of include/uapi/asm-generic/fcntl.h, which x86 and arm64
// share for these; O_DIRECT, O_DIRECTORY, O_NOFOLLOW and O_LARGEFILE differ
// between the two and say nothing of intent, so they are not told. O_CREAT,
// O_EXCL and O_TRUNC are still there at the hook: do_dentry_open (fs/open.c)
// drops them from f_flags only after security_file_open. __FMODE_EXEC
// (include/linux/fs.h) is set by do_open_execat alone.
var openFlagNames = []struct {
	bit  uint32
	name string
	says string
}{
	{0o40, "exec", "opened by the kernel in order to execute it (__FMODE_EXEC)"},
	{0o2000, "append", "O_APPEND"},
	{flagCreate, "create", "O_CREAT"},
	{0o200, "exclusive", "O_EXCL"},
	{flagTruncate, "truncate", "O_TRUNC"},
	{0o4000, "nonblock", "O_NONBLOCK"},
	{0o1000000, "noatime", "O_NOATIME: the reader asks for no trace in the access time"},
	{0o10000000, "path", "O_PATH: a handle without content"},
	{0o10000, "sync", "O_DSYNC or O_SYNC"},
}

// The access mode and the flags that change a file.
const (
	accessModeMask  = 3
	accessReadOnly  = 0
	accessWriteOnly = 1
	accessReadWrite = 2
	flagCreate      = 0o100
	flagTruncate    = 0o1000
)

// openFlags names how a file was opened: the access mode first.
func openFlags(flags uint32) []string {
	var out []string
	switch flags & accessModeMask {
	case accessReadOnly:
		out = append(out, "read")
	case accessWriteOnly:
		out = append(out, "write")
	case accessReadWrite:
		out = append(out, "read", "write")
	default:
		// Mode 3 checks for both and grants neither (open(2), NOTES).
		out = append(out, "ioctl")
	}
	for _, f := range openFlagNames {
		if flags&f.bit != 0 {
			out = append(out, f.name)
		}
	}
	return out
}

// purpose is openFlags in words: "reading", "reading and writing".
func purpose(flags uint32) string {
	names := openFlags(flags)
	var words []string
	for _, n := range []struct{ flag, word string }{
		{"exec", "execution"}, {"read", "reading"}, {"write", "writing"},
		{"append", "appending"}, {"truncate", "truncation"}, {"ioctl", "device control"},
	} {
		if slices.Contains(names, n.flag) && !(n.flag == "read" && slices.Contains(names, "exec")) {
			words = append(words, n.word)
		}
	}
	if last := len(words) - 1; last > 0 {
		return strings.Join(words[:last], ", ") + " and " + words[last]
	}
	return words[0]
}

// changes reports whether an open asks to change the file.
func changes(flags uint32) bool {
	mode := flags & accessModeMask
	return mode == accessWriteOnly || mode == accessReadWrite || flags&flagTruncate != 0
}

// timestamp is ISO 8601 in UTC with all the digits there are.
func timestamp(t time.Time) attribute.Value {
	if t.IsZero() {
		return attribute.Value{}
	}
	return text(t.UTC().Format(time.RFC3339Nano))
}
