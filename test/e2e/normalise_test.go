//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// volatile are the parts of OTLP's JSON that differ from run to run, and the
// form that they must have. They are replaced by their form's name.
var volatile = map[string]form{
	"timeUnixNano":         {"<nanoseconds>", `^1[0-9]{18}$`},
	"observedTimeUnixNano": {"<nanoseconds>", `^1[0-9]{18}$`},
	"startTimeUnixNano":    {"<nanoseconds>", `^1[0-9]{18}$`},
	"endTimeUnixNano":      {"<nanoseconds>", `^1[0-9]{18}$`},
	"traceId":              {"<16 bytes>", `^[0-9a-f]{32}$`},
	"spanId":               {"<8 bytes>", `^[0-9a-f]{16}$`},

	"container.id":                            {"<container id>", `^[0-9a-f]{64}$`},
	"host.name":                               {"<host name>", `^.+$`},
	"container.image.repo_digests":            {"<digest>", `sha256:[0-9a-f]{64}$`},
	"container.runtime.version":               {"<version>", `^v?[0-9]+\.[0-9]+\.`},
	"log.record.uid":                          {"<16 bytes>", `^[0-9a-f]{32}$`},
	"honeytoken.id":                           {"<token id>", `^[0-9a-zA-Z-]{8,}$`},
	"file.inode":                              {"<inode>", `^[0-9]+$`},
	"honeytoken.file.device":                  {"<major:minor>", `^[0-9]+:[0-9]+$`},
	"process.pid":                             {"<pid>", `^[0-9]+$`},
	"process.parent_pid":                      {"<pid>", `^[0-9]+$`},
	"process.session_leader.pid":              {"<pid>", `^[0-9]+$`},
	"process.creation.time":                   {"<time>", timePattern},
	"honeytoken.process.parent.creation.time": {"<time>", timePattern},
	"honeytoken.process.tid":                  {"<pid>", `^[0-9]+$`},
	"honeytoken.process.entry.pid":            {"<pid>", `^[0-9]+$`},
	"honeytoken.process.cgroup.id":            {"<cgroup id>", `^[0-9]+$`},
	"honeytoken.process.ancestors":            {"<pid> <time> <name>", `^[0-9]+ 20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z .`},
	"honeytoken.process.namespace.mnt":        {"<inode>", `^[0-9]+$`},
	"honeytoken.process.namespace.pid":        {"<inode>", `^[0-9]+$`},
	"honeytoken.process.namespace.net":        {"<inode>", `^[0-9]+$`},
	"honeytoken.process.namespace.user":       {"<inode>", `^[0-9]+$`},
	"honeytoken.process.namespace.cgroup":     {"<inode>", `^[0-9]+$`},
	"honeytoken.access.reads":                 {"<reads>", `^[1-9][0-9]*$`},
	"scope.version":                           {"<version>", `^.+$`},
}

const timePattern = `^20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$`

type form struct{ name, pattern string }

var pidInText = regexp.MustCompile(`pid [0-9]+`)

// normalise replaces what differs from run to run, after a look at its form.
func normalise(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case []any:
		// A machine has an id, a VM of the harness has none.
		v = slices.DeleteFunc(v, func(e any) bool {
			m, ok := e.(map[string]any)
			return ok && m["key"] == "host.id"
		})
		for i := range v {
			v[i] = normalise(t, v[i])
		}
		return v
	case map[string]any:
		return normaliseObject(t, v)
	}
	return v
}

func normaliseObject(t *testing.T, m map[string]any) any {
	t.Helper()
	if key, ok := m["key"].(string); ok {
		if f, ok := volatile[key]; ok {
			m["value"] = replace(t, key, f, m["value"])
			return m
		}
	}
	for key, value := range m {
		f, ok := volatile[key]
		switch {
		case ok:
			m[key] = replace(t, key, f, value)
		case key == "scope":
			scope, _ := value.(map[string]any)
			scope["version"] = replace(t, "scope.version", volatile["scope.version"], scope["version"])
		case key == "body":
			body, _ := value.(map[string]any)
			text, _ := body["stringValue"].(string)
			body["stringValue"] = pidInText.ReplaceAllString(text, "pid <pid>")
		default:
			m[key] = normalise(t, value)
		}
	}
	return m
}

// replace replaces a scalar, or each scalar in an attribute's value.
func replace(t *testing.T, key string, f form, v any) any {
	t.Helper()
	switch v := v.(type) {
	case string:
		if !regexp.MustCompile(f.pattern).MatchString(v) {
			t.Errorf("%s is %q, want the form %s", key, v, f.pattern)
		}
		return f.name
	case map[string]any:
		for k := range v {
			v[k] = replace(t, key, f, v[k])
		}
		return v
	case []any:
		for i := range v {
			v[i] = replace(t, key, f, v[i])
		}
		return v
	default:
		t.Errorf("%s is %v, want the form %s", key, v, f.pattern)
		return f.name
	}
}

// lineWidth is the longest value that pretty keeps on one line.
const lineWidth = 110

// pretty is JSON with a line for each attribute.
func pretty(t *testing.T, v any, indent string) string {
	t.Helper()
	var flat bytes.Buffer
	encoder := json.NewEncoder(&flat)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	line := strings.TrimSpace(flat.String())
	var parts []string
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			parts = append(parts, pretty(t, e, indent+"  "))
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, strconv.Quote(k)+": "+pretty(t, v[k], indent+"  "))
		}
	}
	if len(line) <= lineWidth || len(parts) == 0 {
		return line
	}
	inside := "\n" + indent + "  "
	return line[:1] + inside + strings.Join(parts, ","+inside) + "\n" + indent + line[len(line)-1:]
}

// sameIDs checks that the log record points at the span.
func sameIDs(t *testing.T, logs, traces any) {
	t.Helper()
	for _, key := range []string{"traceId", "spanId"} {
		l, s := find(logs, key), find(traces, key)
		if len(l) != 1 || len(s) != 1 || l[0] != s[0] {
			t.Errorf("%s is %v in logs and %v in spans, want one and the same", key, l, s)
		}
	}
}

// find collects the values of a key, at any depth.
func find(v any, key string) []any {
	var out []any
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			out = append(out, find(e, key)...)
		}
	case map[string]any:
		for k, e := range v {
			if k == key {
				out = append(out, e)
			} else {
				out = append(out, find(e, key)...)
			}
		}
	}
	return out
}
