package collectorreceiver

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/confmap"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/config"
)

const (
	// maxQueueSize keeps what both signals wait for to about 8 GiB at the worst;
	// an access takes 1 to 2 KiB as a rule, 8 KiB at most.
	maxQueueSize = 1 << 20
	// Below these a number without a unit was written, which the Collector
	// takes for nanoseconds.
	leastMetricsInterval = time.Second
	leastShutdownTimeout = time.Millisecond
)

var _ confmap.Validator = (*Config)(nil)

// Validate reports every mistake, joined, each with its key. It touches no
// file and nothing else of the system.
func (c *Config) Validate() error {
	_, err := c.translate()
	return err
}

// resolve gives what the core is made from: it reads the tokens' files and
// names the node. The agent's own keys (control socket, output, log) are left
// zero.
func (c *Config) resolve(env config.Environment) (config.Config, error) {
	out, err := c.translate()
	if err != nil {
		return config.Config{}, err
	}
	var m mistakes
	for i, t := range c.Tokens {
		if t.ContentFile == "" {
			continue
		}
		out.Tokens[i].Content, err = config.ReadContent(t.ContentFile)
		m.add(fmt.Sprintf("tokens[%d].content_file", i), err)
	}
	if out.NodeName == "" {
		out.NodeName, err = env.NodeName()
		m.add("node_name", err)
	}
	if err := m.err(); err != nil {
		return config.Config{}, err
	}
	return out, nil
}

// translate does what needs no system: everything but the tokens' files and the
// default of the node's name.
func (c *Config) translate() (config.Config, error) {
	var m mistakes
	out := config.Config{
		Tokens:   c.tokens(&m),
		Match:    c.Match.translate(&m),
		NodeName: c.NodeName,
		StateDir: read(&m, "state_dir", c.StateDir, config.CleanStateDir),
		NRI: config.NRI{
			Socket:      read(&m, "nri.socket", c.NRI.Socket, config.CleanSocket),
			PluginName:  c.NRI.PluginName,
			PluginIndex: c.NRI.PluginIndex,
		},
		Sensor:      c.Sensor.translate(&m),
		Kubernetes:  c.Kubernetes.translate(&m),
		CommandArgs: c.CommandArgs,
		Journal: config.Journal{
			MaxBytes: c.Journal.MaxBytes,
			MaxAge:   duration(&m, "journal.max_age", c.Journal.MaxAge, config.MinJournalAge, config.MaxJournalAge),
		},
	}
	m.add("journal.max_bytes", config.CheckJournalBytes(c.Journal.MaxBytes))
	out.FilesDir = config.DefaultFilesDir(out.StateDir)
	if c.FilesDir != "" {
		out.FilesDir = read(&m, "files_dir", c.FilesDir, config.CleanStateDir)
	}
	out.TokenMatch = c.tokenMatches(&m)
	if c.NodeName != "" {
		m.add("node_name", config.CheckNodeName(c.NodeName))
	}
	m.add("nri.plugin_name", config.CheckName(c.NRI.PluginName))
	m.add("nri.plugin_index", config.CheckPluginIndex(c.NRI.PluginIndex))
	m.add("command_args", config.CheckOneOf(c.CommandArgs, config.CommandArgs()))
	integer(&m, "queue_size", c.QueueSize, maxQueueSize)
	if c.MetricsInterval < leastMetricsInterval {
		m.add("metrics_interval", fmt.Errorf("%v is less than %v (a duration needs a unit, as in 60s)", c.MetricsInterval, leastMetricsInterval))
	}
	if c.ShutdownTimeout != 0 && c.ShutdownTimeout < leastShutdownTimeout {
		m.add("shutdown_timeout", fmt.Errorf("%v is neither 0s nor %v or more (a duration needs a unit, as in 5s)", c.ShutdownTimeout, leastShutdownTimeout))
	}
	return out, m.err()
}

func (c *Config) tokens(m *mistakes) []beesting.Token {
	m.add("tokens", config.CheckTokenCount(len(c.Tokens)))
	names := map[string]int{}
	var wide []int                                           // the tokens so far that every matched container gets
	given := c.Tokens[:min(len(c.Tokens), config.MaxTokens)] // the others are one mistake, made already
	out := make([]beesting.Token, len(given))
	for i, t := range given {
		key := fmt.Sprintf("tokens[%d]", i)
		out[i] = t.translate(m, key)
		unique(m, names, key+".name", t.Name, i)
		if out[i].Path == "" {
			continue // a mistake, made already
		}
		for _, j := range wide {
			if err := config.CheckPath(out[i].Path, out[j].Path, fmt.Sprintf("tokens[%d]", j)); err != nil {
				m.add(key+".path", err)
				break
			}
		}
		if !t.Match.given() {
			wide = append(wide, i)
		}
	}
	return out
}

// unique refuses the second token with a value; the empty one is refused
// anyway.
func unique(m *mistakes, seen map[string]int, key, value string, i int) {
	if first, dup := seen[value]; dup {
		m.add(key, fmt.Errorf("%.60q is already used by tokens[%d]", value, first))
	} else if value != "" {
		seen[value] = i
	}
}

func (t *TokenConfig) translate(m *mistakes, key string) beesting.Token {
	out := beesting.Token{
		Name: t.Name, Kind: t.Kind, Path: t.Path, Template: string(t.Template),
		Overwrite: t.Overwrite, WatchDirectory: t.WatchDirectory,
	}
	m.add(key+".name", config.CheckName(t.Name))
	if t.Path != "" {
		m.add(key+".path", config.CheckTokenPath(t.Path))
	}
	if t.Kind == "" {
		out.Kind = beesting.KindGeneric
	}
	m.add(key+".kind", config.CheckName(out.Kind))
	if t.Mode != "" {
		out.Mode = read(m, key+".mode", t.Mode, config.ParseMode)
	}
	if t.Strategy != "" {
		m.add(key+".strategy", config.CheckOneOf(t.Strategy, config.TokenStrategies()))
		out.Strategy = config.Strategy(t.Strategy)
	}
	if t.Template != "" {
		m.add(key+".template", errors.Join(config.CheckText(out.Template), config.CheckTemplate(out.Template)))
	}
	m.add(key+".values", config.CheckValueCount(len(t.Values)))
	for name, value := range t.Values {
		if out.Values == nil {
			out.Values = map[string]string{}
		}
		out.Values[name] = string(value)
	}
	for _, err := range config.CompleteToken(&out, config.Given{
		Content: t.Content != nil, ContentFile: t.ContentFile != "", Template: t.Template != "",
		Values: len(t.Values) > 0, Path: t.Path != "", Mode: t.Mode != "",
		Keys: [5]string{"content", "content_file", "template", "values", "path"},
	}) {
		m.add(key, err)
	}
	if t.Content != nil {
		out.Content = []byte(*t.Content)
		m.add(key+".content", config.CheckText(string(*t.Content)))
		m.add(key+".content", config.CheckContent(out.Content))
	}
	if t.ContentFile != "" {
		_, err := config.CleanAbsolute(t.ContentFile)
		m.add(key+".content_file", errors.Join(err, config.CheckText(t.ContentFile)))
	}
	return out
}

func (c *SensorConfig) translate(m *mistakes) config.Sensor {
	m.add("sensor.mode", config.CheckOneOf(c.Mode, config.SensorModes()))
	m.add("sensor.tier", config.CheckOneOf(c.Tier, config.SensorTiers()))
	return config.Sensor{
		Mode: c.Mode, Tier: c.Tier,
		Pin: read(m, "sensor.pin", c.Pin, config.CleanPin),
		RingBytes: read(m, "sensor.ring_bytes", strconv.Itoa(int(c.RingBytes)), func(s string) (int, error) {
			return config.ParseSize(s, config.MinRingBytes, config.MaxRingBytes)
		}),
		MaxWatches:     integer(m, "sensor.max_watches", c.MaxWatches, config.MaxMaxWatches),
		OpenTimeout:    duration(m, "sensor.open_timeout", c.OpenTimeout, config.MinOpenTimeout, config.MaxOpenTimeout),
		RepeatInterval: duration(m, "sensor.repeat_interval", c.RepeatInterval, config.MinRepeatInterval, config.MaxRepeatInterval),
		Exempt: config.Exempt{
			Binaries: exempt(m, "sensor.exempt.binaries", c.Exempt.Binaries, config.CleanAbsolute),
			Cgroups:  exempt(m, "sensor.exempt.cgroups", c.Exempt.Cgroups, config.CleanCgroup),
			Report:   c.Exempt.Report,
		},
	}
}

func (c *KubernetesConfig) translate(m *mistakes) config.Kubernetes {
	m.add("kubernetes.enabled", config.CheckOneOf(c.Enabled, config.KubernetesModes()))
	out := config.Kubernetes{
		Enabled:     c.Enabled,
		Labels:      podKeys(m, "kubernetes.labels", c.Labels, config.MaxPodLabels, config.CheckLabelKey),
		Annotations: podKeys(m, "kubernetes.annotations", c.Annotations, config.MaxPodAnnotations, config.CheckAnnotationKey),
		WaitForPod:  duration(m, "kubernetes.wait_for_pod", c.WaitForPod, 0, config.MaxWaitForPod),
	}
	if c.Kubeconfig != "" {
		out.Kubeconfig = read(m, "kubernetes.kubeconfig", c.Kubeconfig, config.CleanAbsolute)
	}
	return out
}

// podKeys reads the keys of labels or annotations, none of them twice.
func podKeys(m *mistakes, key string, keys []string, most int, rule func(string) error) []string {
	m.add(key, config.CheckPodKeys(len(keys), most))
	var out []string
	for i, s := range keys[:min(len(keys), most)] {
		at := fmt.Sprintf("%s[%d]", key, i)
		m.add(at, rule(s))
		if first := slices.Index(keys, s); first < i {
			m.add(at, fmt.Errorf("%.60q is already listed, as number %d", s, first))
		}
		out = append(out, s)
	}
	return out
}

// exempt reads paths, none of them twice.
func exempt(m *mistakes, key string, paths []string, rule func(string) (string, error)) []string {
	m.add(key, config.CheckExemptCount(len(paths)))
	var out []string
	seen := map[string]int{}
	for i, s := range paths[:min(len(paths), config.MaxExempt)] {
		key := fmt.Sprintf("%s[%d]", key, i)
		s = read(m, key, s, rule)
		if first, dup := seen[s]; dup && s != "" {
			m.add(key, fmt.Errorf("%.60q is already listed, as number %d", s, first))
		}
		seen[s] = i
		out = append(out, s)
	}
	return out
}

func read[T any](m *mistakes, key, text string, rule func(string) (T, error)) T {
	v, err := rule(text)
	m.add(key, errors.Join(err, config.CheckText(text)))
	return v
}

func integer(m *mistakes, key string, v, most int) int {
	return read(m, key, strconv.Itoa(v), func(s string) (int, error) { return config.ParseInteger(s, 1, most) })
}

func duration(m *mistakes, key string, v, least, most time.Duration) time.Duration {
	return read(m, key, v.String(), func(s string) (time.Duration, error) { return config.ParseDuration(s, least, most) })
}
