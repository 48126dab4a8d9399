package collectorreceiver

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/beesting-otel/beesting/internal/config"
)

var update = flag.Bool("update", false, "rewrite the generated documentation")

// agentOnly are the agent's keys that say nothing inside a Collector: there is
// no `beesting status` to answer, the pipeline says where accesses go, and the
// log is the Collector's.
var agentOnly = []string{"controlSocket", "http", "http.address", "http.profiles", "output", "log", "log.level", "log.format", "log.otlp"}

// ownKeys are the keys that the agent doesn't have.
func ownKeys() []config.Key {
	d, _ := createDefaultConfig().(*Config)
	return []config.Key{
		{Path: "queue_size", Form: "whole number", Default: fmt.Sprint(d.QueueSize),
			Doc: "How many accesses of each signal can wait in memory while the pipeline refuses them, 1 to 1048576, where `journal.max_bytes` " +
				"is 0; with a journal they wait there. An access takes " +
				"1 to 2 KiB as a rule and 8 KiB at most, which counts towards a memory limiter's limit. One that finds no room is told later, in a sum of touches, and counted in `otelcol_honeytoken_accesses_deferred`."},
		{Path: "metrics_interval", Form: "duration", Default: short(d.MetricsInterval),
			Doc: "Time between two points of the receiver's metrics, at least `1s`. Only for a metrics pipeline."},
		{Path: "shutdown_timeout", Form: "duration", Default: short(d.ShutdownTimeout),
			Doc: "How long the receiver goes on delivering what is queued when it is shut down: `0s`, or at least `1ms`."},
	}
}

func short(d time.Duration) string {
	return strings.TrimSuffix(d.String(), "m0s") + map[bool]string{true: "m"}[strings.HasSuffix(d.String(), "m0s")]
}

// otherWords are what the reference says of a key where the agent's words don't
// fit.
var otherWords = map[string]string{
	"tokens[].content": "What a reader finds; at most 1 MiB. Use a fake that looks right but opens nothing. The Collector " +
		"expands environment references here too: write `$$` for a dollar sign before `{` or `$`. Masked where the Collector prints its configuration.",
	"tokens[].contentFile": "File with the content, in place of `content`: an absolute path, read once at start, as it is, at most 1 MiB.",
	"tokens[].template": "Makes the content of each container, in place of `content`: a Go template with the functions of " +
		"docs/kinds.md. At most 64 KiB; references as in `content`. Masked like that.",
	"tokens[].values": "Your own in place of made ones, for example those of a service that tells of their use elsewhere. " +
		"Each kind has names of its own (docs/kinds.md), a template those that it reads. A secret of your own doesn't name its " +
		"container. Masked like `content`.",
	"stateDir": "Directory for records and keys, which have to outlive the Collector; made with mode 0700 if it is " +
		"missing. It must survive a reboot and be the same path for Collector and container runtime. Not on tmpfs.",
	"filesDir": "Directory for the planted files, which are in `pods` in it. They are bind-mounted into containers, which can " +
		"read this path in their list of mounts: docs/planting.md says how to choose it. It must survive a reboot and be the same " +
		"path for Collector and container runtime. Left out, it is `/var/lib/kubelet/plugins/kubernetes.io`, or the state directory where " +
		"`stateDir` is not the default.",
	"nri": "How the receiver reaches the container runtime (Node Resource Interface).",
	"nri.pluginName": "Name to register under: 1 to 63 of a-z, 0-9 and \"-\". Two plugins with one name on one node get in " +
		"each other's way; the runtime does not prevent it.",
	"sensor.pin": "Directory on bpffs where programs and maps stay attached when the Collector ends: tokens stay watched, " +
		"and the next receiver tells what was touched meanwhile. `beesting uninstall` removes them. `\"\"` leaves nothing " +
		"attached. Where no bpffs is mounted at the default's place, nothing is pinned. Of one receiver at a time.",
	"sensor.ringBytes": "Room for events between kernel and receiver, rounded up to a power of two; 4KiB to 1GiB. An event " +
		"takes about 3.3 KiB. What finds no room is counted as lost.",
}

var otherForms = map[string]string{"tokens[].contentFile": "absolute path"}

var humps = regexp.MustCompile(`[a-z][A-Z]`)

func snake(s string) string {
	return humps.ReplaceAllStringFunc(s, func(s string) string { return s[:1] + "_" + strings.ToLower(s[1:]) })
}

// keys is the receiver's key table: the agent's, in the receiver's words, and
// its own.
func keys() []config.Key {
	agents := config.Keys()
	var rename []string // in the documentation
	for _, k := range agents {
		name := k.Path[strings.LastIndexByte(k.Path, '.')+1:]
		rename = append(rename, "`"+name+"`", "`"+snake(name)+"`")
	}
	words := strings.NewReplacer(rename...)
	var out []config.Key
	for _, k := range agents {
		if slices.Contains(agentOnly, k.Path) {
			continue
		}
		if doc := otherWords[k.Path]; doc != "" {
			k.Doc = doc
		}
		if form := otherForms[k.Path]; form != "" {
			k.Form = form
		}
		k.Path, k.Doc = snake(k.Path), words.Replace(k.Doc)
		out = append(out, k)
	}
	return append(out, ownKeys()...)
}

// structKeys are the keys of a configuration struct.
func structKeys(t reflect.Type, prefix string) []string {
	var out []string
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		path := prefix + f.Tag.Get("mapstructure")
		out = append(out, path)
		inner := f.Type
		if inner.Kind() == reflect.Slice {
			inner, path = inner.Elem(), path+"[]"
		}
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			out = append(out, structKeys(inner, path+".")...)
		}
	}
	return out
}

// Every key of the agent exists here, and every key here exists there, but for
// the ones that are named above.
func TestKeysAreTheAgents(t *testing.T) {
	var want []string
	for _, k := range keys() {
		want = append(want, k.Path)
	}
	assert.Equal(t, want, structKeys(reflect.TypeFor[Config](), ""))

	var agents []string
	for _, k := range config.Keys() {
		agents = append(agents, k.Path)
	}
	for _, k := range agentOnly {
		assert.Contains(t, agents, k, "is not a key of the agent any more")
	}
	for _, words := range []map[string]string{otherWords, otherForms} {
		for k := range words {
			assert.Contains(t, agents, k, "is not a key of the agent any more")
		}
	}
	for _, k := range keys() {
		// The agent itself is no part of a Collector.
		assert.NotRegexp(t, `(?i)\bagents?\b`, k.Doc, "%s needs words of its own", k.Path)
	}
}

// A configuration that leaves everything out means the same in both.
func TestDefaultsAreTheAgents(t *testing.T) {
	want, err := config.Parse("f", []byte("tokens: [{name: a, path: /a, content: x}]\nmatch: {}\n"), environment(nil))
	require.NoError(t, err)
	want.ControlSocket, want.Output, want.Log = "", nil, config.Log{}
	c := one(t, "honeytoken/smallest")
	got, err := c.resolve(environment(nil))
	require.NoError(t, err)
	assert.Equal(t, want, got)
}

// The defaults of the reference are those of the code. Only the agent's are
// checked elsewhere.
func TestOwnDefaults(t *testing.T) {
	var text strings.Builder
	text.WriteString(base)
	for _, k := range ownKeys() {
		fmt.Fprintf(&text, "%s: %s\n", k.Path, k.Default)
	}
	c := valid(t, yaml(t, text.String()))
	want, ok := createDefaultConfig().(*Config)
	require.True(t, ok)
	want.Tokens, want.Match = c.Tokens, c.Match
	assert.Equal(t, want, c)
}

func configurationReference(t *testing.T) string {
	t.Helper()
	head, err := os.ReadFile("testdata/reference.head.txt")
	require.NoError(t, err)
	var b strings.Builder
	b.Write(head)
	b.WriteString("\n## Keys\n")
	for _, k := range keys() {
		facts := []string{k.Form}
		if k.Required {
			facts = append(facts, "**required**")
		}
		if k.Default != "" {
			facts = append(facts, "default `"+k.Default+"`")
		}
		fmt.Fprintf(&b, "\n### `%s`\n\n%s.\n\n%s\n", k.Path, strings.Join(facts, ", "), wrap(k.Doc))
	}
	return b.String()
}

// configurationTable is the short form, for README.md.
func configurationTable() string {
	var b strings.Builder
	b.WriteString("\n| Key | Value | Default |\n| --- | ----- | ------- |\n")
	for _, k := range keys() {
		def := "—"
		if k.Required {
			def = "**required**"
		} else if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Path, k.Form, def)
	}
	return b.String() + "\n"
}

// wrap breaks text into lines of at most 100 bytes.
func wrap(text string) string {
	var b strings.Builder
	width := 0
	for _, word := range strings.Fields(text) {
		switch {
		case width == 0:
		case width+1+len(word) > 100:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	return b.String()
}
