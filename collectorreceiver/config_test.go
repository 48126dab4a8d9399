package collectorreceiver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/confmap/provider/envprovider"
	"go.opentelemetry.io/collector/confmap/provider/fileprovider"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/policy"
)

func environment(vars map[string]string) config.Environment {
	return config.Environment{
		LookupEnv: func(name string) (string, bool) { v, ok := vars[name]; return v, ok },
		Hostname:  func() (string, error) { return "host-1", nil },
	}
}

func opaque(s string) *configopaque.String {
	o := configopaque.String(s)
	return &o
}

// one gives the configuration of one component in testdata/config.yaml.
func one(t *testing.T, id string) *Config {
	t.Helper()
	cm, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	sub, err := cm.Sub(id)
	require.NoError(t, err)
	return valid(t, sub)
}

// defaults is the default configuration with one token and every pod matched.
func defaults() *Config {
	return &Config{
		Tokens:   []TokenConfig{{Name: "a", Path: "/a", Content: opaque("x")}},
		Match:    &MatchConfig{ExcludeNamespaces: []string{"kube-system"}},
		StateDir: "/var/lib/beesting",
		NRI:      NRIConfig{Socket: "/var/run/nri/nri.sock", PluginName: "beesting", PluginIndex: "90"},
		Sensor: SensorConfig{
			Mode: "auto", Tier: "default", Pin: "/sys/fs/bpf/beesting", RingBytes: 32 << 20, MaxWatches: 16384,
			OpenTimeout: time.Minute, RepeatInterval: time.Second,
		},
		Kubernetes:      KubernetesConfig{Enabled: "auto", WaitForPod: 250 * time.Millisecond},
		CommandArgs:     "redacted",
		Journal:         JournalConfig{MaxBytes: 256 << 20, MaxAge: 168 * time.Hour},
		QueueSize:       16384,
		MetricsInterval: time.Minute,
		ShutdownTimeout: 5 * time.Second,
	}
}

func everything() *Config {
	return &Config{
		Tokens: []TokenConfig{
			{Name: "one", Kind: "ssh-key", Path: "/root/.ssh/id_ed25519", Mode: "0400", Content: opaque("line 1\nline 2\n")},
			{Name: "two", Path: "/two", Mode: "0o604", Content: opaque(""), WatchDirectory: true, Overwrite: true, Strategy: "hook"},
			{Name: "three", Path: "/three", ContentFile: "/nonexistent/content", Match: &TokenMatchConfig{
				Containers: []string{"db"}, Annotation: &AnnotationConfig{Key: "example.com/three", Mode: "optIn"},
			}},
		},
		Match: &MatchConfig{
			Namespaces: []string{"web-*", "shop"}, ExcludeNamespaces: []string{},
			LabelSelector: LabelSelectorConfig{
				MatchLabels: map[string]string{"app.kubernetes.io/name": "shop", "version": "1.10", "empty": ""},
				MatchExpressions: []ExpressionConfig{
					{Key: "team", Operator: "NotIn", Values: []string{"security"}},
					{Key: "tier", Operator: "Exists"},
				},
			},
			Containers: []string{"db", "app*"}, Images: []string{"registry.example:5000/team/*"},
			Exclude: []RuleConfig{
				{Namespaces: []string{"web-2"}, Containers: []string{"app"}},
				{Images: []string{"*:latest"}, LabelSelector: LabelSelectorConfig{MatchLabels: map[string]string{"tier": "debug"}}},
			},
			Annotation: &AnnotationConfig{Key: "example.com/say"},
		},
		NodeName: "n1",
		StateDir: "/s/../state/",
		FilesDir: "/files/",
		NRI:      NRIConfig{Socket: "/n.sock", PluginName: "bee", PluginIndex: "07"},
		Sensor: SensorConfig{
			Mode: "kprobe", Tier: "recon", RingBytes: 512 << 10, MaxWatches: 5, OpenTimeout: 90 * time.Second, RepeatInterval: 500 * time.Millisecond,
			Exempt: ExemptConfig{
				Binaries: []string{"/usr/bin/restic", "/usr/bin/../bin/rsync"}, Cgroups: []string{"/backup.slice/"}, Report: true,
			},
		},
		Kubernetes: KubernetesConfig{
			Enabled: "on", Kubeconfig: "/etc/kube/config", Labels: []string{"team"}, Annotations: []string{"example.com/contact"},
		},
		CommandArgs: "off", QueueSize: 1, MetricsInterval: time.Second,
		Journal: JournalConfig{MaxBytes: 8 << 20, MaxAge: 24 * time.Hour},
	}
}

func TestLoad(t *testing.T) {
	number := defaults()
	number.Sensor.RingBytes = 8192
	kinds := defaults()
	kinds.Tokens = []TokenConfig{
		{Name: "a", Kind: "ssh-private-key"},
		{Name: "b", Path: "/b", Template: "{{id}}", Values: map[string]configopaque.String{"x": "y"}},
	}
	tests := map[string]*Config{
		"honeytoken/kinds":    kinds,
		"honeytoken/smallest": defaults(),
		"honeytoken/nothing":  defaults(),

		"honeytoken/sensor with nothing": defaults(),
		"honeytoken/number":              number,
		"honeytoken/everything":          everything(),
	}
	cm, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	for id := range cm.ToStringMap() {
		require.Contains(t, tests, id, "is in testdata and not tested")
	}
	for id, want := range tests {
		t.Run(id, func(t *testing.T) { assert.Equal(t, want, one(t, id)) })
	}
}

func TestDefaultConfig(t *testing.T) {
	want := defaults()
	want.Tokens, want.Match = nil, nil
	assert.Equal(t, want, createDefaultConfig())
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	// Nobody plants without having said what and where.
	err := confmap.Validate(createDefaultConfig())
	require.ErrorContains(t, err, "tokens: the list is empty: there is nothing to plant")
	require.ErrorContains(t, err, "match: must be given")
}

// resolve gives what a file holds, with the Collector's own providers.
func resolve(t *testing.T, path string) *confmap.Conf {
	t.Helper()
	r, err := confmap.NewResolver(confmap.ResolverSettings{
		URIs:              []string{"file:" + path},
		ProviderFactories: []confmap.ProviderFactory{fileprovider.NewFactory(), envprovider.NewFactory()},
	})
	require.NoError(t, err)
	cm, err := r.Resolve(t.Context())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(t.Context()))
	return cm
}

// valid reads a configuration that has to be right.
func valid(t *testing.T, cm *confmap.Conf) *Config {
	t.Helper()
	c, ok := createDefaultConfig().(*Config)
	require.True(t, ok)
	require.NoError(t, cm.Unmarshal(c))
	require.NoError(t, confmap.Validate(c))
	return c
}

// What the Collector's providers put in keeps its text where text is asked for.
func TestEnvironmentReferences(t *testing.T) {
	for name, value := range map[string]string{"INDEX": "05", "RING": "64KiB", "WATCHES": "7", "NUMBER": "8192", "EMPTY": ""} {
		t.Setenv("BEESTING_TEST_"+name, value)
	}
	c := valid(t, resolve(t, filepath.Join("testdata", "reference.yaml")))
	assert.Equal(t, "05", c.NRI.PluginIndex)
	assert.Equal(t, Size(64<<10), c.Sensor.RingBytes)
	assert.Equal(t, 7, c.Sensor.MaxWatches)
	assert.Equal(t, "0400", c.Tokens[0].Mode)
	assert.Equal(t, opaque("8192 $x ${y}"), c.Tokens[0].Content)
	assert.Equal(t, "/var/lib/beesting", c.StateDir, "set to nothing counts as left out")
}

func TestResolve(t *testing.T) {
	c := everything()
	dir := t.TempDir()
	c.Tokens[2].ContentFile = filepath.Join(dir, "content")
	require.NoError(t, os.WriteFile(c.Tokens[2].ContentFile, []byte("a\x00b"), 0o600))
	got, err := c.resolve(environment(nil))
	require.NoError(t, err)
	everyMatch(t, got.Policy())
	got.Match, got.TokenMatch = policy.Match{}, nil
	want := config.Config{
		Tokens: []beesting.Token{
			{Name: "one", Kind: "ssh-key", Path: "/root/.ssh/id_ed25519", Content: []byte("line 1\nline 2\n"), Mode: 0o400},
			{Name: "two", Kind: "generic", Path: "/two", Content: []byte{}, Mode: 0o604, WatchDirectory: true, Overwrite: true, Strategy: "hook"},
			{Name: "three", Kind: "generic", Path: "/three", Content: []byte("a\x00b"), Mode: 0o644},
		},
		NodeName: "n1",
		StateDir: "/state",
		FilesDir: "/files",
		NRI:      config.NRI{Socket: "/n.sock", PluginName: "bee", PluginIndex: "07"},
		Sensor: config.Sensor{
			Mode: "kprobe", Tier: "recon", RingBytes: 512 << 10, MaxWatches: 5, OpenTimeout: 90 * time.Second, RepeatInterval: 500 * time.Millisecond,
			Exempt: config.Exempt{
				Binaries: []string{"/usr/bin/restic", "/usr/bin/rsync"}, Cgroups: []string{"/backup.slice"}, Report: true,
			},
		},
		Kubernetes: config.Kubernetes{
			Enabled: "on", Kubeconfig: "/etc/kube/config", Labels: []string{"team"}, Annotations: []string{"example.com/contact"},
		},
		CommandArgs: "off",
		Journal:     config.Journal{MaxBytes: 8 << 20, MaxAge: 24 * time.Hour},
	}
	assert.Equal(t, want, got)
}

// everyMatch tries every condition of everything, each with what just misses it.
func everyMatch(t *testing.T, p policy.Policy) {
	t.Helper()
	for name, tt := range map[string]struct {
		change func(*beesting.Container)
		want   int // tokens
	}{
		"all hold":      {func(*beesting.Container) {}, 2},
		"namespace":     {func(c *beesting.Container) { c.Pod.Namespace = "kube-system" }, 0},
		"label":         {func(c *beesting.Container) { c.Pod.Labels["version"] = "1.1" }, 0},
		"expression":    {func(c *beesting.Container) { c.Pod.Labels["team"] = "security" }, 0},
		"container":     {func(c *beesting.Container) { c.Name = "proxy" }, 0},
		"image":         {func(c *beesting.Container) { c.ImageName = "nginx" }, 0},
		"exclude":       {func(c *beesting.Container) { c.Pod.Namespace = "web-2" }, 0},
		"other exclude": {func(c *beesting.Container) { c.Pod.Labels["tier"], c.ImageTags = "debug", []string{"latest"} }, 0},
		"annotation":    {func(c *beesting.Container) { c.Pod.Annotations = map[string]string{"example.com/say": "false"} }, 0},
		"token's match": {func(c *beesting.Container) {
			c.Name, c.Pod.Annotations = "db", map[string]string{"example.com/three": "true"}
		}, 3},
	} {
		c := beesting.Container{Name: "app", ImageName: "registry.example:5000/team/x", Pod: beesting.Pod{Namespace: "web-1", Labels: map[string]string{
			"app.kubernetes.io/name": "shop", "version": "1.10", "empty": "", "tier": ""}}}
		tt.change(&c)
		assert.Len(t, p.Select(c), tt.want, "%s: %+v", name, p.Explain(c))
	}
}

func TestResolveContentFile(t *testing.T) {
	dir := t.TempDir()
	c := defaults()
	c.Tokens = append(c.Tokens, TokenConfig{Name: "b", Path: "/b", ContentFile: filepath.Join(dir, "content")})
	require.NoError(t, confmap.Validate(c), "Validate must not look for the file")
	_, err := c.resolve(environment(nil))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "tokens[1].content_file: stat ")

	require.NoError(t, os.WriteFile(c.Tokens[1].ContentFile, make([]byte, beesting.MaxTokenContent+1), 0o600))
	_, err = c.resolve(environment(nil))
	require.ErrorContains(t, err, "larger than 1048576 bytes")

	c.Tokens[1].ContentFile = dir
	_, err = c.resolve(environment(nil))
	require.ErrorContains(t, err, "not a regular file")
}

// What a kind brings along, and what makes a content.
func TestResolveKinds(t *testing.T) {
	got, err := one(t, "honeytoken/kinds").resolve(environment(nil))
	require.NoError(t, err)
	assert.Equal(t, []beesting.Token{
		{Name: "a", Kind: "ssh-private-key", Path: "/root/.ssh/id_ed25519", Mode: 0o600, Generate: true},
		{Name: "b", Kind: "generic", Path: "/b", Mode: 0o644, Generate: true, Template: "{{id}}", Values: map[string]string{"x": "y"}},
	}, got.Tokens)
}

func TestResolveNodeName(t *testing.T) {
	node := func(c *Config, env config.Environment) string {
		t.Helper()
		got, err := c.resolve(env)
		require.NoError(t, err)
		return got.NodeName
	}
	named := defaults()
	named.NodeName = "mine"
	vars := map[string]string{"NODE_NAME": "node-7"}
	assert.Equal(t, "mine", node(named, environment(vars)))
	assert.Equal(t, "node-7", node(defaults(), environment(vars)))
	assert.Equal(t, "host-1", node(defaults(), environment(nil)))

	_, err := defaults().resolve(environment(map[string]string{"NODE_NAME": "a b"}))
	require.EqualError(t, err, `node_name: environment variable NODE_NAME holds "a b", which is not a name of 1 to 253 printable characters without spaces`)
	env := environment(nil)
	env.Hostname = func() (string, error) { return "", errors.New("no name") }
	_, err = defaults().resolve(env)
	require.EqualError(t, err, "node_name: not given, and the host name can't be had: no name")
}

// A wrong configuration is not resolved, however it came about.
func TestResolveValidates(t *testing.T) {
	c := defaults()
	c.Match = nil
	_, err := c.resolve(environment(nil))
	require.ErrorContains(t, err, "match: must be given")
}

// The content of a token is what an attacker must not read in a log.
func TestContentIsOpaque(t *testing.T) {
	c := defaults()
	c.Tokens[0].Content = opaque("hush-hush")
	cm := confmap.New()
	require.NoError(t, cm.Marshal(c))
	text := fmt.Sprintf("%v\n%+v\n%#v\n%v", c, c.Tokens, *c.Tokens[0].Content, cm.ToStringMap())
	assert.NotContains(t, text, "hush")
	assert.Equal(t, "32MiB", cm.Get("sensor::ring_bytes"))
	c.Tokens[0].Content = opaque("hush\x00" + strings.Repeat("hush", beesting.MaxTokenContent/4))
	err := confmap.Validate(c)
	require.ErrorContains(t, err, "tokens[0].content: must not hold a NUL byte")
	require.ErrorContains(t, err, "tokens[0].content: 1048581 bytes, at most 1048576 are allowed")
	assert.NotContains(t, err.Error(), "hush")
}

// The Collector compares what was configured before and after a reload, and
// shows it: reading it must not change it.
func TestUnmarshalLeavesTheInput(t *testing.T) {
	const text = base + "state_dir:\nnri: {socket: ~}\nsensor: {ring_bytes: 8KiB}\n"
	conf := yaml(t, text)
	for range 2 {
		c := valid(t, conf)
		assert.Equal(t, "/var/lib/beesting", c.StateDir)
		assert.Equal(t, "/var/run/nri/nri.sock", c.NRI.Socket)
	}
	assert.Equal(t, yaml(t, text).ToStringMap(), conf.ToStringMap())
}

// Reading twice into one configuration must not add up.
func TestUnmarshalTwice(t *testing.T) {
	c := valid(t, yaml(t, base))
	require.NoError(t, yaml(t, base).Unmarshal(c))
	assert.Equal(t, []string{"kube-system"}, c.Match.ExcludeNamespaces)
}
