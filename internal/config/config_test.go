package config

import (
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/policy"
)

var update = flag.Bool("update", false, "rewrite the generated documentation")

func environment(vars map[string]string) Environment {
	return Environment{
		LookupEnv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
		Hostname:  func() (string, error) { return "host-1", nil },
	}
}

const smallest = "tokens: [{name: a, path: /a, content: x}]\nmatch: {}\n"

func parse(t *testing.T, data string, vars map[string]string) (Config, error) {
	t.Helper()
	return Parse("beesting.yaml", []byte(data), environment(vars))
}

func mustParse(t *testing.T, data string, vars map[string]string) Config {
	t.Helper()
	c, err := parse(t, data, vars)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := mustParse(t, smallest, nil)
	if len(c.Match.ExcludeNamespaces) != 1 || c.Match.ExcludeNamespaces[0].String() != "kube-system" {
		t.Errorf("excluded namespaces = %v, want kube-system", c.Match.ExcludeNamespaces)
	}
	c.Match.ExcludeNamespaces = nil
	want := Config{
		Tokens:        []beesting.Token{{Name: "a", Kind: "generic", Path: "/a", Content: []byte("x"), Mode: 0o644}},
		NodeName:      "host-1",
		StateDir:      "/var/lib/beesting",
		FilesDir:      "/var/lib/kubelet/plugins/kubernetes.io",
		NRI:           NRI{Socket: "/var/run/nri/nri.sock", PluginName: "beesting", PluginIndex: "90"},
		ControlSocket: "/run/beesting/control.sock",
		Sensor: Sensor{
			Mode: "auto", Tier: "default", Pin: "/sys/fs/bpf/beesting", RingBytes: 32 << 20, MaxWatches: 16384,
			OpenTimeout: time.Minute, RepeatInterval: time.Second,
		},
		Kubernetes:  Kubernetes{Enabled: "auto", WaitForPod: 250 * time.Millisecond},
		CommandArgs: "redacted",
		Journal:     Journal{MaxBytes: 256 << 20, MaxAge: 168 * time.Hour},
		Output:      []string{"otlp"},
		Log:         Log{Level: slog.LevelInfo, Format: "text"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("configuration = %+v\nwant %+v", c, want)
	}
}

func TestEveryKey(t *testing.T) {
	c := mustParse(t, `
tokens:
  - name: one
    kind: ssh-key
    path: /root/.ssh/id_ed25519
    mode: 0400
    content: |
      line 1
      line 2
  - name: two
    path: "/two"
    mode: "0o604"
    content: ""
    watchDirectory: true
    match:
      containers: [db]
      excludeNamespaces: [web-9]
      annotation: {key: example.com/two, mode: optIn}
match:
  namespaces: [web-*, shop]
  excludeNamespaces: []
  labelSelector:
    matchLabels: {app: shop, version: 1.10}
    matchExpressions:
      - {key: team, operator: NotIn, values: [security]}
      - {key: tier, operator: Exists}
  containers: [db, "app*"]
  images: ["registry.example:5000/team/*", "nginx:1.*"]
  exclude:
    - {namespaces: [web-2], containers: [app]}
    - {images: ["*:latest"], labelSelector: {matchLabels: {tier: debug}}}
  annotation: {key: example.com/say}
nodeName: n1
stateDir: /s/../state/
filesDir: /files/
nri: {socket: /n.sock, pluginName: bee, pluginIndex: 07}
controlSocket: /c.sock
http: {address: "[::1]:80", profiles: true}
sensor:
  mode: kprobe
  tier: recon
  pin: /sys/fs/bpf/x/../bee/
  ringBytes: 512 KiB
  maxWatches: 5
  openTimeout: 1m30s
  repeatInterval: 500ms
  exempt: {binaries: [/usr/bin/restic, /usr/bin/rsync], cgroups: [/backup.slice/], report: true}
kubernetes:
  enabled: on
  kubeconfig: /etc//kube/../kube/config
  labels: [team, app.kubernetes.io/part-of]
  annotations: [Example.com/contact]
  waitForPod: 0s
commandArgs: off
journal:
  maxBytes: 8388608
  maxAge: 24h
output: [json, otlp]
log: {level: debug, format: json}
`, nil)
	everyMatch(t, c.Policy())
	c.Match, c.TokenMatch = policy.Match{}, nil
	want := Config{
		Tokens: []beesting.Token{
			{Name: "one", Kind: "ssh-key", Path: "/root/.ssh/id_ed25519", Content: []byte("line 1\nline 2\n"), Mode: 0o400},
			{Name: "two", Kind: "generic", Path: "/two", Content: []byte{}, Mode: 0o604, WatchDirectory: true},
		},
		NodeName:      "n1",
		StateDir:      "/state",
		FilesDir:      "/files",
		NRI:           NRI{Socket: "/n.sock", PluginName: "bee", PluginIndex: "07"},
		ControlSocket: "/c.sock",
		HTTP:          HTTP{Address: "[::1]:80", Profiles: true},
		Sensor: Sensor{
			Mode: "kprobe", Tier: "recon", Pin: "/sys/fs/bpf/bee", RingBytes: 512 << 10, MaxWatches: 5,
			OpenTimeout: 90 * time.Second, RepeatInterval: 500 * time.Millisecond,
			Exempt: Exempt{
				Binaries: []string{"/usr/bin/restic", "/usr/bin/rsync"}, Cgroups: []string{"/backup.slice"}, Report: true,
			},
		},
		Kubernetes: Kubernetes{
			Enabled: "on", Kubeconfig: "/etc/kube/config", Labels: []string{"team", "app.kubernetes.io/part-of"}, Annotations: []string{"Example.com/contact"},
		},
		CommandArgs: "off",
		Journal:     Journal{MaxBytes: 8 << 20, MaxAge: 24 * time.Hour},
		Output:      []string{"json", "otlp"},
		Log:         Log{Level: slog.LevelDebug, Format: "json"},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("configuration = %+v\nwant %+v", c, want)
	}
}

// everyMatch tries every condition of TestEveryKey, each with what just misses it.
func everyMatch(t *testing.T, p policy.Policy) {
	t.Helper()
	tests := []struct {
		name   string
		change func(*beesting.Container)
		want   string
	}{
		{"all hold", func(*beesting.Container) {}, "one"},
		{"second container", func(c *beesting.Container) { c.Name = "db" }, "one"},
		{"token's own", func(c *beesting.Container) {
			c.Name, c.Pod.Annotations = "db", map[string]string{"example.com/two": "true"}
		}, "one two"},
		{"token's own excluded namespace", func(c *beesting.Container) {
			c.Name, c.Pod.Namespace, c.Pod.Annotations = "db", "web-9", map[string]string{"example.com/two": "true"}
		}, "one"},
		{"namespace", func(c *beesting.Container) { c.Pod.Namespace = "kube-system" }, ""},
		{"label", func(c *beesting.Container) { c.Pod.Labels["version"] = "1.1" }, ""},
		{"expression", func(c *beesting.Container) { c.Pod.Labels["team"] = "security" }, ""},
		{"container", func(c *beesting.Container) { c.Name = "proxy" }, ""},
		{"image", func(c *beesting.Container) { c.ImageName = "registry.example/team/x" }, ""},
		{"image by tag", func(c *beesting.Container) { c.ImageName, c.ImageTags = "nginx", []string{"1.27"} }, "one"},
		{"first exclude", func(c *beesting.Container) { c.Pod.Namespace = "web-2" }, ""},
		{"half of the first exclude", func(c *beesting.Container) { c.Pod.Namespace, c.Name = "web-2", "db" }, "one"},
		{"second exclude", func(c *beesting.Container) { c.Pod.Labels["tier"], c.ImageTags = "debug", []string{"latest"} }, ""},
		{"annotation", func(c *beesting.Container) { c.Pod.Annotations = map[string]string{"example.com/say": "false"} }, ""},
	}
	for _, tt := range tests {
		c := beesting.Container{Name: "app", ImageName: "registry.example:5000/team/x", Pod: beesting.Pod{
			Namespace: "web-1", Labels: map[string]string{"app": "shop", "version": "1.10", "tier": ""}}}
		tt.change(&c)
		var got []string
		for _, token := range p.Select(c) {
			got = append(got, token.Name)
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: gets %q, want %q: %+v", tt.name, got, tt.want, p.Explain(c))
		}
	}
}

// An empty path is the way to pin nothing, and not a key without a value.
func TestPin(t *testing.T) {
	for text, want := range map[string]string{`""`: "", `''`: "", "": DefaultPin, "~": DefaultPin, "/a/b/": "/a/b", `"${env:NONE:-}"`: ""} {
		if c := mustParse(t, smallest+"sensor: {pin: "+text+"}\n", nil); c.Sensor.Pin != want {
			t.Errorf("pin %s: %q, want %q", text, c.Sensor.Pin, want)
		}
	}
}

func TestNodeName(t *testing.T) {
	if c := mustParse(t, smallest, map[string]string{"NODE_NAME": "node-7"}); c.NodeName != "node-7" {
		t.Errorf("node name = %q, want that of NODE_NAME", c.NodeName)
	}
	if c := mustParse(t, smallest+"nodeName: mine", map[string]string{"NODE_NAME": "node-7"}); c.NodeName != "mine" {
		t.Errorf("node name = %q, want that of the file", c.NodeName)
	}
	env := environment(nil)
	env.Hostname = func() (string, error) { return "", errors.New("no name") }
	if _, err := Parse("f", []byte(smallest), env); err == nil || !strings.Contains(err.Error(), "no name") {
		t.Errorf("without any name: %v", err)
	}
}

func TestContentFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "secret"), "a ${env:UNSET} stays\n")
	path := filepath.Join(dir, "beesting.yaml")
	write(t, path, "tokens: [{name: a, path: /a, contentFile: secret}]\nmatch: {}\n")
	c, err := Load(path, environment(nil))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Tokens[0].Content); got != "a ${env:UNSET} stays\n" {
		t.Errorf("content = %q", got)
	}
	write(t, filepath.Join(dir, "secret"), strings.Repeat("x", beesting.MaxTokenContent+1))
	if _, err := Load(path, environment(nil)); err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("content too large: %v", err)
	}
}

func TestLoadRefusesOddFiles(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "none"), environment(nil)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir, environment(nil)); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("directory: %v", err)
	}
	large := filepath.Join(dir, "large")
	write(t, large, strings.Repeat("#\n", MaxFile/2+1))
	if _, err := Load(large, environment(nil)); err == nil || !strings.Contains(err.Error(), "larger than 1048576 bytes") {
		t.Errorf("large file: %v", err)
	}
}

// The sample has to be valid, and apart from its token say what leaving the
// keys out says.
func TestExampleIsTheDefaults(t *testing.T) {
	c := mustParse(t, Example(), nil)
	want := mustParse(t, smallest, nil)
	want.Tokens = c.Tokens
	if !reflect.DeepEqual(c, want) {
		t.Errorf("example = %+v\nwant %+v", c, want)
	}
	if err := c.Tokens[0].Validate(); err != nil || !c.Tokens[0].Generate {
		t.Errorf("token of the example = %+v: %v", c.Tokens[0], err)
	}
}

// What is commented out in the sample has to work too.
func TestExampleUncommented(t *testing.T) {
	s := Example()
	for _, line := range []string{
		`namespaces: [payments, web-*]`, `matchLabels: {app: shop}`, `matchExpressions:`,
		`  - key: team`, `    operator: NotIn`, `    values: [security]`, `nodeName: ${env:NODE_NAME}`,
		`containers: [app, worker-*]`, `images: ["registry.example:5000/team/*", "nginx:1.*"]`,
		`exclude:`, `  - namespaces: [payments]`, `    labelSelector: {matchLabels: {role: builder}}`,
		`    containers: [istio-proxy]`, `    images: ["*/istio/proxyv2:*"]`,
		`annotation: {key: example.com/backup, mode: optOut}`, `match: {containers: [app]}`,
		`binaries: [/usr/bin/restic]`, `cgroups: [/system.slice/backup.service]`,
	} {
		if !strings.Contains(s, "# "+line+"\n") {
			t.Fatalf("the example has no commented line %q", line)
		}
		s = strings.Replace(s, "# "+line+"\n", line+"\n", 1)
	}
	c := mustParse(t, s, map[string]string{"NODE_NAME": "n"})
	m := c.Match
	if len(m.Labels) != 2 || len(m.Namespaces) != 2 || len(m.Containers) != 2 || len(m.Images) != 2 || len(m.Exclude) != 1 ||
		m.Annotation.Key() != "example.com/backup" || len(c.TokenMatch) != 1 {
		t.Errorf("match = %+v, of tokens %+v", m, c.TokenMatch)
	}
	if c.NodeName != "n" || len(c.Sensor.Exempt.Binaries) != 1 || len(c.Sensor.Exempt.Cgroups) != 1 {
		t.Errorf("node = %q, exempt = %+v", c.NodeName, c.Sensor.Exempt)
	}
}

// A kind brings its path and mode along, and each can be given all the same.
func TestKinds(t *testing.T) {
	c := mustParse(t, `
tokens:
  - {name: a, kind: ssh-private-key}
  - {name: b, kind: netrc, path: /b, mode: "0644"}
  - {name: c, kind: pgpass, content: mine}
  - {name: d, path: /d, template: "{{id}} {{value \"x\"}}", values: {x: "${V}"}}
  - {name: e, kind: github-token, path: /e, values: {token: ghp_mine}}
match: {}
`, map[string]string{"V": "v"})
	want := []beesting.Token{
		{Name: "a", Kind: "ssh-private-key", Path: "/root/.ssh/id_ed25519", Mode: 0o600, Generate: true},
		{Name: "b", Kind: "netrc", Path: "/b", Mode: 0o644, Generate: true},
		{Name: "c", Kind: "pgpass", Path: "/root/.pgpass", Mode: 0o644, Content: []byte("mine")},
		{Name: "d", Kind: "generic", Path: "/d", Mode: 0o644, Generate: true, Template: `{{id}} {{value "x"}}`, Values: map[string]string{"x": "v"}},
		{Name: "e", Kind: "github-token", Path: "/e", Mode: 0o600, Generate: true, Values: map[string]string{"token": "ghp_mine"}},
	}
	if !reflect.DeepEqual(c.Tokens, want) {
		t.Errorf("tokens = %+v\nwant %+v", c.Tokens, want)
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	const path = "../../docs/configuration.md"
	if *update {
		write(t, path, Reference())
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != Reference() {
		t.Errorf("%s is not what the code says: go test ./internal/config -update", path)
	}
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaultIsTheSmallest(t *testing.T) {
	want := mustParse(t, smallest, nil)
	want.Tokens, want.NodeName = nil, ""
	want.Match = Default().Match // a required key has no default
	if c := Default(); !reflect.DeepEqual(c, want) {
		t.Errorf("default = %+v\nwant %+v", c, want)
	}
}
