package exporter

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/beesting-otel/beesting"
)

// declaredKinds are the constants of type AccessKind in the root package.
func declaredKinds(t *testing.T) []beesting.AccessKind {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "access.go"))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []beesting.AccessKind
	for _, m := range regexp.MustCompile(`(?m)^\tAccess\w+ +AccessKind += "(.*)"$`).FindAllSubmatch(source, -1) {
		kinds = append(kinds, beesting.AccessKind(m[1]))
	}
	if n := strings.Count(string(source), " AccessKind = "); n != len(kinds) || n < 21 {
		t.Errorf("%d kinds found in the source, %d are there", len(kinds), n)
	}
	return kinds
}

// No kind is missing in the table, and none is made up.
func TestKindTable(t *testing.T) {
	want := declaredKinds(t)
	var got []beesting.AccessKind
	for _, r := range kindTable {
		got = append(got, r.kind)
		if r.done == "" || r.todo == "" || r.says == "" {
			t.Errorf("%+v: not all is said", r)
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 21 || !slices.Equal(got, want) {
		t.Errorf("kinds %v, want %v", got, want)
	}
}

// What each kind is to a person and to a rule: the body's words, refused and
// not, and the severity.
func TestEveryKind(t *testing.T) {
	for _, c := range []struct {
		kind         beesting.AccessKind
		flags        uint32
		severity     int
		done, denied string
	}{
		{beesting.AccessOpen, 0, 17, "opened X for reading", "tried to open X for reading"},
		{beesting.AccessOpen, accessReadWrite, 19, "opened X for reading and writing", "tried to open X for reading and writing"},
		{beesting.AccessExec, 0o40, 17, "executed X", "tried to execute X"},
		{beesting.AccessOpenPath, 0o10000000, 13, "opened X as a path only (O_PATH)", "tried to open X as a path only (O_PATH)"},
		{beesting.AccessRead, 0, 17, "read from X through a descriptor that it was given", "tried to read from X through a descriptor that it was given"},
		{beesting.AccessWrite, accessReadWrite, 19, "wrote to X through a descriptor that it was given", "tried to write to X through a descriptor that it was given"},
		{beesting.AccessReceive, 0, 17, "received an open descriptor of X", "tried to receive an open descriptor of X"},
		{beesting.AccessMmap, accessReadWrite, 17, "mapped X into its memory", "tried to map X into its memory"},
		{beesting.AccessStat, 0, 13, "asked for the attributes of X", "tried to ask for the attributes of X"},
		{beesting.AccessAccess, 0, 13, "asked for its permissions on X", "tried to ask for its permissions on X"},
		{beesting.AccessReadlink, 0, 13, "probed X by readlink", "tried to probe X by readlink"},
		{beesting.AccessHandle, 0, 13, "took a file handle of X", "tried to take a file handle of X"},
		{beesting.AccessXattr, 0, 13, "asked for extended attributes of X", "tried to ask for extended attributes of X"},
		{beesting.AccessXattr, accessWriteOnly, 19, "changed extended attributes of X", "tried to change extended attributes of X"},
		{beesting.AccessSetattr, 0, 19, "changed the attributes of X", "tried to change the attributes of X"},
		{beesting.AccessLink, 0, 17, "made a hard link to X", "tried to make a hard link to X"},
		{beesting.AccessSymlink, 0, 17, "made a symbolic link to X", "tried to make a symbolic link to X"},
		{beesting.AccessRename, 0, 19, "renamed X", "tried to rename X"},
		{beesting.AccessUnlink, 0, 19, "deleted X", "tried to delete X"},
		{beesting.AccessMount, 0, 19, "changed a mount of X", "tried to change a mount of X"},
		{beesting.AccessWatch, 0, 13, "set a watch on X (inotify or fanotify)", "tried to set a watch on X (inotify or fanotify)"},
		{beesting.AccessLock, 0, 13, "locked X", "tried to lock X"},
		{beesting.AccessList, 0, 13, "listed the directory of X", "tried to list the directory of X"},
		{"something new", 0, 17, "touched X", "tried to touch X"},
	} {
		a := pointAccess(c.kind)
		a.File.Flags = c.flags
		checkSentence(t, &a, c.severity, c.done)
		a.Outcome, a.ErrorType, a.Count = beesting.OutcomeDenied, "EBUSY", 2
		a.File.Flags |= 0o100000
		checkSentence(t, &a, c.severity, c.denied, " and was refused (EBUSY) (2 times)")
		a.Actor = beesting.ActorHost
		checkSentence(t, &a, 19, c.denied, ", from the host and was refused (EBUSY) (2 times)")
		a.Actor = beesting.ActorRuntime
		checkSentence(t, &a, 9, c.denied, ", by the container runtime and was refused (EBUSY) (2 times)")
	}
}

// checkSentence wants the words in the body, where "X" is the token, its path
// and its place.
func checkSentence(t *testing.T, a *beesting.Access, severity int, words ...string) {
	t.Helper()
	r := sampleMapping(t).record(a)
	body := strings.Replace(r.body, "honeytoken aws-prod at /root/.aws/credentials", "X", 1)
	if r.severity.number != severity {
		t.Errorf("%s: severity %d, want %d", body, r.severity.number, severity)
	}
	for _, w := range words {
		if !strings.Contains(body, " "+w+" in container") && !strings.HasSuffix(body, w) {
			t.Errorf("body %q lacks %q", body, w)
		}
	}
}

// The span of each kind: its name, its length, its status, and that log and
// span say the same but for the end.
func TestSpanOfEveryKind(t *testing.T) {
	m := sampleMapping(t)
	for _, kind := range declaredKinds(t) {
		for _, outcome := range []beesting.Outcome{beesting.OutcomeAllowed, beesting.OutcomeDenied} {
			a := pointAccess(kind)
			a.Outcome, a.EndTime, a.Reads, a.Writes = outcome, a.Time.Add(time.Second), 5, 0
			r := m.record(&a)
			ends := (kind == beesting.AccessOpen || kind == beesting.AccessExec) && outcome == beesting.OutcomeAllowed
			if r.name != "honeytoken.access."+string(kind) || r.denied != (outcome == beesting.OutcomeDenied) || r.end.Equal(a.EndTime) != ends {
				t.Errorf("%s, %s: name %q, denied %v, end %v", kind, outcome, r.name, r.denied, r.end)
			}
			span, log := asMap(t, r.span), asMap(t, r.log)
			wantEnd(t, span, map[bool]any{true: endClosed}[ends], map[bool]any{true: int64(5)}[ends], map[bool]any{true: int64(0)}[ends])
			wantEnd(t, log, nil, nil, nil)
			maps.DeleteFunc(span, func(key string, _ any) bool { return strings.HasPrefix(key, "honeytoken.access.end") })
			for key := range span {
				if _, ok := log[key]; !ok && key != "honeytoken.access.reads" && key != "honeytoken.access.writes" {
					t.Errorf("%s: the span has %s, the log lacks it", kind, key)
				}
			}
			a.EndTime = time.Time{}
			r = m.record(&a)
			wantEnd(t, asMap(t, r.span), map[bool]any{true: endUnseen}[ends], nil, nil)
			if !r.end.Equal(a.Time) {
				t.Errorf("%s: an end that was not seen is %v", kind, r.end)
			}
		}
	}
}

func wantEnd(t *testing.T, got map[string]any, end, reads, writes any) {
	t.Helper()
	if got["honeytoken.access.end"] != end || got["honeytoken.access.reads"] != reads || got["honeytoken.access.writes"] != writes {
		t.Errorf("end %v, reads %v, writes %v; want %v, %v, %v",
			got["honeytoken.access.end"], got["honeytoken.access.reads"], got["honeytoken.access.writes"], end, reads, writes)
	}
}

func TestDetailInWords(t *testing.T) {
	for _, c := range []struct {
		kind         beesting.AccessKind
		detail, want string
	}{
		{beesting.AccessRename, "/tmp/x", "renamed X to /tmp/x in"},
		{beesting.AccessSymlink, "../a b", `made a symbolic link to X ("../a b") in`},
		{beesting.AccessXattr, "user.note", "asked for extended attributes of X (user.note) in"},
		{beesting.AccessXattr, strings.Repeat("x", 5000), cut},
		{beesting.AccessLink, "\x1b[2J", `("\x1b[2J")`},
	} {
		a := pointAccess(c.kind)
		a.Detail = c.detail
		body := strings.Replace(sentence(&a), "honeytoken aws-prod at /root/.aws/credentials", "X", 1)
		if !strings.Contains(body, c.want) || len(body) > maxValue {
			t.Errorf("%q lacks %q", body, c.want)
		}
	}
}

// An open that was refused before there was a file: what it was for isn't known,
// and not made up.
func TestUnknownFlags(t *testing.T) {
	a := pointAccess(beesting.AccessOpen)
	a.File.Flags = 0
	if got := asMap(t, sampleMapping(t).record(&a).log)["honeytoken.access.flags"]; got == nil {
		t.Error("an open has no flags")
	}
	a.Outcome, a.ErrorType = beesting.OutcomeDenied, "EACCES"
	if got, ok := asMap(t, sampleMapping(t).record(&a).log)["honeytoken.access.flags"]; ok {
		t.Errorf("flags %v", got)
	}
	checkSentence(t, &a, 17, "tried to open X")
}

func TestErrorType(t *testing.T) {
	for in, want := range map[string]any{"EXDEV": "EXDEV", "": "_OTHER"} {
		a := outsiderAccess()
		a.ErrorType = in
		if got := asMap(t, sampleMapping(t).record(&a).log)["error.type"]; got != want {
			t.Errorf("%q is %v, want %v", in, got, want)
		}
		a.Outcome = beesting.OutcomeAllowed
		if got, ok := asMap(t, sampleMapping(t).record(&a).log)["error.type"]; ok {
			t.Errorf("allowed, and error.type is %v", got)
		}
	}
}

func TestCapabilities(t *testing.T) {
	for set, want := range map[uint64]string{
		0:                        "",
		1:                        "CAP_CHOWN",
		1 << 21:                  "CAP_SYS_ADMIN",
		1<<39 | 1<<40 | 1<<41:    "CAP_BPF CAP_CHECKPOINT_RESTORE CAP_41",
		0xa80425fb:               "CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_NET_RAW CAP_SYS_CHROOT CAP_MKNOD CAP_AUDIT_WRITE CAP_SETFCAP",
		1<<63 | 1<<25 | 1<<19<<1: "CAP_SYS_PACCT CAP_SYS_TIME CAP_63",
	} {
		if got := strings.Join(capabilities(set), " "); got != want {
			t.Errorf("%x is %q, want %q", set, got, want)
		}
	}
}

// However many there are and whatever their names: a bounded list that can be
// taken apart.
func TestAncestors(t *testing.T) {
	var all []beesting.Ancestor
	for i := range 2 * beesting.MaxAncestors {
		all = append(all, beesting.Ancestor{PID: uint32(i), Comm: strings.Repeat("a b ", 100)}) //nolint:gosec // small
	}
	all[0] = beesting.Ancestor{PID: 7, StartTime: at, Comm: "kworker/u8:1 x"}
	got := ancestors(all)
	if len(got) != beesting.MaxAncestors || got[0] != "7 2026-11-23T18:04:05.123456789Z kworker/u8:1 x" || !strings.HasPrefix(got[1], "1 - a b ") {
		t.Errorf("%d ancestors: %q", len(got), got)
	}
	for _, s := range got {
		if len(s) > 120 {
			t.Errorf("%d bytes", len(s))
		}
	}
	if v := texts(ancestors(nil)); v.Type() != attribute.EMPTY {
		t.Errorf("none are %v", v)
	}
}
