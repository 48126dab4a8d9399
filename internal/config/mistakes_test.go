package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/internal/content"
)

func manyPaths(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "/p%d, ", i)
	}
	return b.String()
}

func TestMistakes(t *testing.T) {
	makers := strings.Join(content.Names(), ", ")
	const token = "tokens:\n- {name: a, path: /a, content: x}\nmatch: {}\n" // 3 lines
	tests := []struct {
		name, data string
		want       []string // whole lines
	}{
		{"empty", "", []string{`f:1: the configuration is empty`}},
		{"only comments", "# x\n", []string{`f:1: the configuration is empty`}},
		{"not a mapping", "- a\n", []string{`f:1: the configuration: must be a mapping (key: value), is a list`}},
		{"missing keys", "nodeName: a\n", []string{
			`f:1: the configuration: key "tokens" is missing`,
			`f:1: the configuration: key "match" is missing`}},
		{"misspelt key", token + "stateDri: /x\n", []string{
			`f:4: the configuration: unknown key "stateDri": did you mean "stateDir"?`}},
		{"snake case", token + "state_dir: /x\n", []string{
			`f:4: the configuration: unknown key "state_dir": did you mean "stateDir"?`}},
		{"unknown key", token + "\nlog:\n  colour: red\n", []string{
			`f:6: log: unknown key "colour": known are level, format, otlp`}},
		{"key twice", token + "nodeName: a\nnodeName: b\n", []string{
			`f:5: key "nodeName" is already given in line 4`}},
		{"merge key", token + "log: &l {level: info}\nnri: {<<: *l}\n", []string{
			`f:5: nri: unknown key "<<": known are socket, pluginName, pluginIndex`}},
		{"alias", token + "nodeName: &x a\nstateDir: *x\n", []string{
			`f:5: stateDir: aliases (*x) are not supported: write the value out`}},
		{"tag", token + "nodeName: !!binary YQ==\n", []string{
			`f:4: nodeName: tags (!!binary) are not supported`}},
		{"list for text", token + "nodeName: [a]\n", []string{
			`f:4: nodeName: must be a plain value, is a list`}},
		{"text for mapping", token + "sensor: lsm\n", []string{
			`f:4: sensor: must be a mapping (key: value), is a plain value`}},
		{"text for list", token + "output: otlp\n", []string{
			`f:4: output: must be a list, is a plain value`}},
		{"output", token + "output: [json, otlp, json, text, syslog, \n]\n", []string{
			`f:4: output: "json" is already listed in line 4`,
			`f:4: output: "syslog" is not one of text, json, otlp`,
			`f:4: output: text and json both go to standard output: choose one`}},
		{"no output", token + "output: []\n", []string{
			`f:4: output: the list is empty: nobody would learn of an access`}},
		{"numbers", token + "sensor:\n  maxWatches: many\n  ringBytes: 2GiB\n", []string{
			`f:5: sensor.maxWatches: "many" is not a whole number from 1 to 1048576`,
			`f:6: sensor.ringBytes: "2GiB" is not a size from 4KiB to 1GiB (a number of bytes, or one with KiB, MiB or GiB)`}},
		{"mode", token + "sensor: {mode: kprobes}\n", []string{
			`f:4: sensor.mode: "kprobes" is not one of auto, lsm, fentry, kprobe, fanotify: did you mean "kprobe"?`}},
		{"sensor", token + "sensor:\n  tier: recom\n  pins: /x\n  pin: x\n  openTimeout: 60\n  repeatInterval: 1ms\n  open_timeout: 1s\n", []string{
			`f:5: sensor.tier: "recom" is not one of default, recon: did you mean "recon"?`,
			`f:6: sensor: unknown key "pins": did you mean "pin"?`,
			`f:7: sensor.pin: "x" is not an absolute path`,
			`f:8: sensor.openTimeout: "60" is not a duration from 1s to 24h (a number with its unit, as in 500ms, 30s or 1h)`,
			`f:9: sensor.repeatInterval: "1ms" is not a duration from 100ms to 1h (a number with its unit, as in 500ms, 30s or 1h)`,
			`f:10: sensor: unknown key "open_timeout": did you mean "openTimeout"?`}},
		{"exempt", token + "sensor:\n  exempt:\n    binaries: [restic, /a, /a/, ]\n    cgroups: /sys\n    report: yes\n    binary: /a\n", []string{
			`f:6: sensor.exempt.binaries: "restic" is not an absolute path`,
			`f:6: sensor.exempt.binaries: "/a" is already listed in line 6`,
			`f:7: sensor.exempt.cgroups: must be a list, is a plain value`,
			`f:8: sensor.exempt.report: "yes" is neither true nor false`,
			`f:9: sensor.exempt: unknown key "binary": known are binaries, cgroups, report`}},
		{"many exempt", token + "sensor: {exempt: {binaries: [" + manyPaths(65) + "]}}\n", []string{
			`f:4: sensor.exempt.binaries: 65 of them, at most 64 are allowed`}},
		{"watch directory", "tokens:\n- {name: a, path: /a, content: x, watchDirectory: 1}\nmatch: {}\n", []string{
			`f:2: token watchDirectory: "1" is neither true nor false`}},
		{"paths", token + "stateDir: state\ncontrolSocket: /" + strings.Repeat("x", 107) + "\n", []string{
			`f:4: stateDir: "state" is not an absolute path`,
			`f:5: controlSocket: "/` + strings.Repeat("x", 59) + `…" is longer than the 107 bytes that a unix socket's path can have`}},
		{"journal", token + "journal: {maxBytes: 1000, maxAge: 5s}\n", []string{
			"f:4: journal.maxBytes: 1000 must be 0, for no journal, or 4194304 to 1099511627776",
			`f:4: journal.maxAge: "5s" is not a duration from 1h to 8760h (a number with its unit, as in 500ms, 30s or 1h)`,
		}},
		{"kubernetes", token + "kubernetes: {enabled: yes, kubeconfig: config, labels: [a b, team, team], annotations: [/x], waitForPod: 2s}\n", []string{
			`f:4: kubernetes.enabled: "yes" is not one of auto, on, off`,
			`f:4: kubernetes.kubeconfig: "config" is not an absolute path`,
			`f:4: kubernetes.labels: "a b": not a label's key, which is NAME or PREFIX/NAME, as in app.kubernetes.io/name`,
			`f:4: kubernetes.labels: "team" is already listed in line 4`,
			`f:4: kubernetes.annotations: "/x": not an annotation's key, which is NAME or PREFIX/NAME, as in example.com/backup`,
			`f:4: kubernetes.waitForPod: "2s" is not a duration from 0s to 1s (a number with its unit, as in 500ms, 30s or 1h)`,
		}},
		{"many labels", token + "kubernetes: {labels: [" + strings.Repeat("a, ", 32) + "a]}\n", []string{
			"f:4: kubernetes.labels: 33 of them, at most 32 are allowed"}},
		{"http", token + "http: {address: \":9464\", profiles: maybe}\n", []string{
			`f:4: http.address: ":9464" names no host: 127.0.0.1 is this machine alone, 0.0.0.0 is all of its addresses`,
			`f:4: http.profiles: "maybe" is neither true nor false`}},
		{"http port", token + "http: {address: localhost:http}\n", []string{
			`f:4: http.address: "localhost:http": no such port`}},
		{"http address", token + "http: {address: 9464}\n", []string{
			`f:4: http.address: "9464" must be HOST:PORT, such as 127.0.0.1:9464, or empty for none`}},
		{"no http", token + "http: {address: \"\", profile: true}\n", []string{
			`f:4: http: unknown key "profile": did you mean "profiles"?`}},
		{"index", token + "nri: {pluginIndex: 7}\n", []string{
			`f:4: nri.pluginIndex: "7" is not two digits, like "90"`}},
		{"tokens", "tokens:\n- name: A b\n  path: a\n  mode: 644\n- name: b\n  path: /b/../c\n  content: x\n  contentFile: y\nmatch: {}\n", []string{
			`f:2: token name "A b": may hold only a-z, 0-9 and "-"`,
			`f:2: token: one of the keys "content", "contentFile" and "template" must be given, or a kind that makes its content: ` + makers,
			`f:3: token path "a": must be absolute`,
			`f:4: token mode: "644" is not octal permission bits with a leading zero, like "0600"`,
			`f:5: token: only one of the keys "content", "contentFile" and "template" can be given`,
			`f:6: token path "/b/../c": must be clean: write "/c"`,
			`f:8: token contentFile: stat y: no such file or directory`}},
		{"tokens twice", "tokens:\n- {name: a, path: /a, content: x}\n- {name: a, path: /a, content: x}\n- {name: c, path: /a/b, content: x}\nmatch: {}\n", []string{
			`f:3: token name "a" is already used by the token in line 2`,
			`f:3: token path "/a" is already used by the token in line 2`,
			`f:4: token path "/a/b" lies below the path of the token in line 2, which is a file`}},
		{"paths of narrowed tokens", "tokens:\n- {name: a, path: /a, content: x, match: {containers: [a]}}\n- {name: b, path: /a, content: x, match: {containers: [b]}}\n" +
			"- {name: c, path: /a/b, content: x}\n- {name: d, path: /a, content: x, match: {containers: [d]}}\n- {name: e, path: /a/b, content: x, match: {}}\nmatch: {}\n", []string{
			`f:5: token path "/a" lies above the path of the token in line 4, and so would be a directory`,
			`f:6: token path "/a/b" is already used by the token in line 4`}},
		{"token match", "tokens:\n- name: a\n  path: /a\n  content: x\n  match:\n    container: [a]\n    images: [\"a b\"]\n    containers: [A]\n    annotation: {mode: optOut}\nmatch: {}\n", []string{
			`f:6: token match: unknown key "container": did you mean "containers"?`,
			`f:7: token match.images: "a b": ' ' can't be in an image's name`,
			`f:8: token match.containers: "A": 'A' can't be in a container's name: use a-z, 0-9, "-", and "*" or "?" as wildcards`,
			`f:9: token match.annotation: key "key" is missing`}},
		{"exclude", "tokens:\n- {name: a, path: /a, content: x}\nmatch:\n  exclude:\n  - {}\n  - {namespaces: []}\n  - {excludeNamespaces: [a]}\n  - {containers: [A], images: [\"\"]}\n  - ~\n", []string{
			`f:5: match.exclude: a rule without a condition excludes everything`,
			`f:6: match.exclude: a rule without a condition excludes everything`,
			`f:7: match.exclude: unknown key "excludeNamespaces": known are namespaces, labelSelector, containers, images`,
			`f:8: match.exclude.containers: "A": 'A' can't be in a container's name: use a-z, 0-9, "-", and "*" or "?" as wildcards`,
			`f:8: match.exclude.images: "": must not be empty`,
			`f:9: match.exclude: item 5 has no value`}},
		{"many excludes", "tokens:\n- {name: a, path: /a, content: x}\nmatch: {exclude: [" + strings.Repeat("{containers: [a]}, ", 65) + "]}\n", []string{
			`f:3: match.exclude: 65 of them, at most 64 are allowed`}},
		{"many patterns", "tokens:\n- {name: a, path: /a, content: x}\nmatch: {images: [" + strings.Repeat("a, ", 1025) + "]}\n", []string{
			`f:3: match.images: 1025 of them, at most 1024 are allowed`}},
		{"annotation", "tokens:\n- {name: a, path: /a, content: x}\nmatch:\n  annotation: {key: a b, mode: optout}\n", []string{
			`f:4: match.annotation.mode: "optout" is not one of optOut, optIn: did you mean "optOut"?`}},
		{"annotation's key", "tokens:\n- {name: a, path: /a, content: x}\nmatch:\n  annotation: {key: a b}\n", []string{
			`f:4: match.annotation: key "a b": not an annotation's key, which is NAME or PREFIX/NAME, as in example.com/backup`}},
		{"annotation without a value", "tokens:\n- {name: a, path: /a, content: x}\nmatch:\n  annotation: {}\n", []string{
			`f:4: match.annotation: key "key" is missing`}},
		{"wildcard first", "tokens:\n- {name: a, path: /a, content: x}\nmatch:\n  images: [*a/nginx]\n", []string{`f:4: not valid YAML: unknown anchor 'a/nginx' referenced`}},
		{"kinds", "tokens:\n- {name: a, kind: aws-credential, path: /a}\n- {name: b, kind: own, path: /b}\n- {name: c, kind: github-token}\n- {name: d, content: x}\n- {name: e, kind: template}\nmatch: {}\n", []string{
			`f:2: token: kind "aws-credential" makes no content (did you mean "aws-credentials"?): give one of the keys "content", "contentFile" and "template", or one of the kinds that do: ` + makers,
			`f:3: token: kind "own" makes no content: give one of the keys "content", "contentFile" and "template", or one of the kinds that do: ` + makers,
			`f:4: token: key "path" is missing`,
			`f:5: token: key "path" is missing`,
			`f:6: token: one of the keys "content", "contentFile" and "template" must be given, or a kind that makes its content: ` + makers,
			`f:6: token: key "path" is missing`}},
		{"usual path twice", "tokens:\n- {name: a, kind: netrc}\n- {name: b, kind: netrc}\n- {name: c, path: /root/.netrc/x, content: x}\nmatch: {}\n", []string{
			`f:3: token path "/root/.netrc" is already used by the token in line 2`,
			`f:4: token path "/root/.netrc/x" lies below the path of the token in line 2, which is a file`}},
		{"values", "tokens:\n- {name: a, kind: npmrc, values: {key: x}}\n- {name: b, kind: pypirc, values: [x]}\n- {name: c, path: /c, content: x, values: {a: b}}\n- {name: d, kind: netrc, values: {machine: , machine: m}}\nmatch: {}\n", []string{
			`f:2: token: values: unknown name "key": kind npmrc takes token and, if wanted, registry`,
			`f:3: token values: must be a mapping (key: value), is a list`,
			`f:4: token: "values" are for a kind that makes its content, or a template`,
			`f:5: token values: "machine" has no value`,
			`f:5: token: values: login is missing: kind netrc takes machine, login, password`}},
		{"template", "tokens:\n- {name: a, path: /a, template: \"{{range 5}}{{end}}\"}\n- {name: b, path: /b, template: \"\"}\n- {name: c, path: /c, template: \"{{id\"}\nmatch: {}\n", []string{
			`f:2: token: template: "{{range 5}}{{end}}" is not supported: only actions, {{if}} and {{with}} are`,
			`f:3: token template: must not be empty`,
			`f:4: token: template: line 1: unclosed action`}},
		{"strategy", "tokens:\n- {name: a, path: /a, content: x, strategy: hooks, overwrite: 1}\nmatch: {}\n", []string{
			`f:2: token strategy: "hooks" is not one of auto, bind, hook, live: did you mean "hook"?`,
			`f:2: token overwrite: "1" is neither true nor false`}},
		{"no tokens", "tokens: []\nmatch: {}\n", []string{`f:1: tokens: the list is empty: there is nothing to plant`}},
		{"match", "tokens:\n- {name: a, path: /a, content: x}\nmatch:\n  namespaces: [Web]\n  labelSelector:\n    matchLabels: {a: b, a: c, d: }\n    matchExpressions:\n    - {key: a, operator: in}\n    - {key: a, operator: In}\n", []string{
			`f:4: match.namespaces: "Web": 'W' can't be in a namespace's name: use a-z, 0-9, "-", and "*" or "?" as wildcards`,
			`f:6: matchLabels: label "a" is already given in line 6`,
			`f:6: matchLabels: label "d" has no value (the empty value is written "")`,
			`f:8: matchExpressions operator: "in" is not one of In, NotIn, Exists, DoesNotExist: did you mean "In"?`,
			`f:9: label selector: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty`}},
		{"unset variable", token + "nodeName: ${env:NOT_THERE}\n", []string{
			`f:4: nodeName: environment variable NOT_THERE is not set (a default is written ${env:NOT_THERE:-default})`}},
		{"line in a block", "tokens:\n- name: a\n  path: /a\n  content: |\n    one\n    two ${env:A\n    three\nmatch: {}\n", []string{
			`f:6: token content: "${env:A" is not closed by "}" (a literal "${" is written "$${")`}},
		{"other reference", token + "nodeName: ${file:x}\n", []string{
			`f:4: nodeName: "${file:x}" is not a reference: write ${env:NAME} or ${env:NAME:-default} (a literal "${" is written "$${")`}},
		{"tab", "tokens:\n\t- a\n", []string{`f:2: not valid YAML: found character that cannot start any token`}},
		{"open quote", token + "nodeName: \"a\nstateDir: /x\n", []string{
			`f:6: not valid YAML: found unexpected end of stream (while scanning a quoted scalar that starts at line 4)`}},
		{"open list", token + "output: [otlp\nstateDir: /x\n", []string{
			`f:5: not valid YAML: did not find expected ',' or ']' (while parsing a flow sequence that starts at line 4)`}},
		{"indentation", token + "log:\n  level: info\n format: text\n", []string{
			`f:6: not valid YAML: did not find expected key (while parsing a block mapping that starts at line 1)`}},
		{"control character", token + "nodeName: a\x01\n", []string{`f:1: not valid YAML: control characters are not allowed (value: 1)`}},
		{"two documents", token + "---\na: b\n", []string{`f:4: the file holds more than one YAML document`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("f", []byte(tt.data), environment(map[string]string{}))
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("error = %v, want an *Error", err)
			}
			if got, want := err.Error(), strings.Join(tt.want, "\n"); got != want {
				t.Errorf("error:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestEnvironmentReferences(t *testing.T) {
	vars := map[string]string{"A": "one", "EMPTY": "", "YAML": "[x]", "REF": "${env:A}"}
	tests := []struct{ in, want string }{
		{`${env:A}`, "one"},
		{`<${A}-${env:A}>`, "<one-one>"},
		{`${env:B:-two}`, "two"},
		{`${B:-}`, ""},
		{`${env:A:-two}`, "one"},
		{`${env:EMPTY:-two}`, ""}, // set to nothing is set, as in the Collector
		{`$${env:A}`, "${env:A}"},
		{`$$$${A}`, "$${A}"},
		{`$A costs $5$`, "$A costs $5$"},
		{`$2y$10$abc`, "$2y$10$abc"},
		{`${env:YAML}`, "[x]"},
		{`${env:REF}`, "${env:A}"}, // not expanded again
		{`${env:B:-a:-b}`, "a:-b"},
	}
	for _, tt := range tests {
		c := mustParse(t, "tokens:\n- name: a\n  path: /a\n  content: '"+tt.in+"'\nmatch: {}\n", vars)
		if got := string(c.Tokens[0].Content); got != tt.want {
			t.Errorf("%s = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestManyMistakesAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "wrong%d: 1\n", i)
	}
	_, err := parse(t, b.String(), nil)
	lines := strings.Split(fmt.Sprint(err), "\n")
	if len(lines) != maxProblems+1 || !strings.Contains(lines[maxProblems], "and 982 more") {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
}

// Each of these is as large as a file can be. They have to end in an error,
// soon, and in little memory.
func TestHostileFiles(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("a0: &a0 [x,x,x,x,x,x,x,x,x]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 9), ","))
	}
	bomb.WriteString("tokens: *a29\nmatch: *a29\n")
	tests := map[string]string{
		"alias bomb":    bomb.String(),
		"own alias":     "tokens: &a [*a]\nmatch: &b {labelSelector: *b}\n",
		"deep flow":     strings.Repeat("[", MaxFile),
		"closed flow":   strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"deep mappings": strings.Repeat("{a: ", MaxFile/4),
		"deep lists":    strings.Repeat("- ", MaxFile/2),
		"deep keys":     strings.Repeat("? ", MaxFile/2),
		"open quote":    `a: "` + strings.Repeat("x", MaxFile-5),
		"many tokens":   "match: {}\ntokens:\n" + strings.Repeat("- {name: a}\n", MaxFile/12-10),
		"many labels":   "tokens: []\nmatch: {labelSelector: {matchLabels: {" + strings.Repeat("a: b, ", MaxFile/6-20) + "}}}",
		"references":    "tokens:\n- content: " + strings.Repeat("${L}", MaxFile/4-20),
		"not text":      strings.Repeat("\x00\xff", MaxFile/2),
	}
	env := environment(map[string]string{"L": strings.Repeat("x", 100_000)})
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, err := Parse("f", []byte(data), env)
			if err == nil {
				t.Error("no error")
			} else if len(err.Error()) > 10_000 {
				t.Errorf("%d bytes of error", len(err.Error()))
			}
			if took := time.Since(start); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(smallest)
	f.Add(Example())
	f.Add("tokens: &a [*a]\nmatch: {labelSelector: {matchLabels: {? [] : b}}}\n")
	f.Add("tokens:\n- content: |2-\n    ${env:A:-\n  name: ${A}\n")
	f.Add("%YAML 1.2\n--- !!map\n? a\n: b\n...\n")
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "c"), []byte("x"), 0o600); err != nil {
		f.Fatal(err)
	}
	env := environment(map[string]string{"A": "a"})
	f.Fuzz(func(t *testing.T, data string) {
		// The reader refuses what is larger; contentFile must not wander off.
		if len(data) > MaxFile || strings.Contains(data, "contentFile") {
			return
		}
		c, err := Parse(filepath.Join(dir, "f"), []byte(data), env)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, dir) && !strings.HasPrefix(line, "and ") {
					t.Errorf("a line without a place: %q", line)
				}
			}
			return
		}
		if len(c.Tokens) == 0 || len(c.Output) == 0 || c.NodeName == "" {
			t.Errorf("accepted, and incomplete: %+v", c)
		}
		for _, token := range c.Tokens {
			if err := token.Validate(); err != nil {
				t.Errorf("accepted a bad token: %v", err)
			}
		}
	})
}
