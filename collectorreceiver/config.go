package collectorreceiver

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/confmap"

	"github.com/beesting-otel/beesting/exporter"
	"github.com/beesting-otel/beesting/internal/config"
)

// Config is the receiver's configuration. Its keys are the node agent's in
// snake_case, with the agent's rules and defaults, and three of its own; a test
// holds the two together. README.md has the reference.
type Config struct {
	// Tokens are planted in every matched container: 1 to config.MaxTokens.
	Tokens []TokenConfig `mapstructure:"tokens"`
	// Match has to be given, so that nobody plants everywhere by leaving it
	// out: nil is a mistake.
	Match *MatchConfig `mapstructure:"match"`
	// NodeName is the environment variable NODE_NAME if empty, or else the host
	// name.
	NodeName string `mapstructure:"node_name"`
	StateDir string `mapstructure:"state_dir"`
	// FilesDir is config.DefaultFilesDir if empty.
	FilesDir string       `mapstructure:"files_dir"`
	NRI      NRIConfig    `mapstructure:"nri"`
	Sensor   SensorConfig `mapstructure:"sensor"`
	// Kubernetes says whether and how the API server is asked for workloads.
	Kubernetes KubernetesConfig `mapstructure:"kubernetes"`
	// CommandArgs is "redacted", "full" or "off".
	CommandArgs string        `mapstructure:"command_args"`
	Journal     JournalConfig `mapstructure:"journal"`

	// QueueSize is how many accesses of each signal wait while the pipeline
	// refuses them, where there is no journal: 1 to maxQueueSize.
	QueueSize int `mapstructure:"queue_size"`
	// MetricsInterval is the time between two points of the receiver's metrics,
	// at least a second.
	MetricsInterval time.Duration `mapstructure:"metrics_interval"`
	// ShutdownTimeout bounds how long Shutdown goes on delivering what is
	// queued; 0 delivers nothing more.
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// TokenConfig is one token. At most one of Content, ContentFile and Template is
// given; without them the kind makes the content.
type TokenConfig struct {
	Name string `mapstructure:"name"`
	// Kind is beesting.KindGeneric if empty.
	Kind string `mapstructure:"kind"`
	// Path is the kind's usual one if empty.
	Path string `mapstructure:"path"`
	// Mode is octal permission bits with a leading zero; the kind's usual ones
	// if empty.
	Mode string `mapstructure:"mode"`
	// Content is a pointer because a token may be empty.
	Content *configopaque.String `mapstructure:"content"`
	// ContentFile is absolute: a receiver doesn't learn where the Collector's
	// configuration came from, which need not be a file.
	ContentFile string `mapstructure:"content_file"`
	// Template makes the content of each container.
	Template configopaque.String `mapstructure:"template"`
	// Values are the user's own in a made content.
	Values map[string]configopaque.String `mapstructure:"values"`
	// Strategy is auto if empty.
	Strategy string `mapstructure:"strategy"`
	// Overwrite lets the token hide a file of the image.
	Overwrite bool `mapstructure:"overwrite"`
	// WatchDirectory makes listing the token's directory an access too.
	WatchDirectory bool `mapstructure:"watch_directory"`
	// Match narrows that of the receiver for this token.
	Match *TokenMatchConfig `mapstructure:"match"`

	_ struct{}
}

// MatchConfig says which containers get the tokens.
type MatchConfig struct {
	Namespaces []string `mapstructure:"namespaces"`
	// ExcludeNamespaces is the agent's default if it isn't in the
	// configuration; nil and empty exclude nothing.
	ExcludeNamespaces []string            `mapstructure:"exclude_namespaces"`
	LabelSelector     LabelSelectorConfig `mapstructure:"label_selector"`
	Containers        []string            `mapstructure:"containers"`
	Images            []string            `mapstructure:"images"`
	Exclude           []RuleConfig        `mapstructure:"exclude"`
	// Annotation gives pods a say; nil gives them none.
	Annotation *AnnotationConfig `mapstructure:"annotation"`

	_ struct{}
}

// TokenMatchConfig is a MatchConfig without a default.
type TokenMatchConfig struct {
	Namespaces        []string            `mapstructure:"namespaces"`
	ExcludeNamespaces []string            `mapstructure:"exclude_namespaces"`
	LabelSelector     LabelSelectorConfig `mapstructure:"label_selector"`
	Containers        []string            `mapstructure:"containers"`
	Images            []string            `mapstructure:"images"`
	Exclude           []RuleConfig        `mapstructure:"exclude"`
	// Annotation gives pods a say; nil gives them none.
	Annotation *AnnotationConfig `mapstructure:"annotation"`

	_ struct{}
}

// RuleConfig is a set of conditions, at least one, that all hold for a container
// that gets no tokens.
type RuleConfig struct {
	Namespaces    []string            `mapstructure:"namespaces"`
	LabelSelector LabelSelectorConfig `mapstructure:"label_selector"`
	Containers    []string            `mapstructure:"containers"`
	Images        []string            `mapstructure:"images"`

	_ struct{}
}

// AnnotationConfig names an annotation of pods, and what it means.
type AnnotationConfig struct {
	Key string `mapstructure:"key"`
	// Mode is "optOut" or "optIn"; "optOut" if empty.
	Mode string `mapstructure:"mode"`

	_ struct{}
}

// LabelSelectorConfig has the meaning of a Kubernetes LabelSelector.
type LabelSelectorConfig struct {
	MatchLabels      map[string]string  `mapstructure:"match_labels"`
	MatchExpressions []ExpressionConfig `mapstructure:"match_expressions"`

	_ struct{}
}

// ExpressionConfig is one condition on a pod's labels.
type ExpressionConfig struct {
	Key      string   `mapstructure:"key"`
	Operator string   `mapstructure:"operator"`
	Values   []string `mapstructure:"values"`

	_ struct{}
}

// NRIConfig says how to reach the container runtime.
type NRIConfig struct {
	Socket      string `mapstructure:"socket"`
	PluginName  string `mapstructure:"plugin_name"`
	PluginIndex string `mapstructure:"plugin_index"`

	_ struct{}
}

// SensorConfig says how to watch.
type SensorConfig struct {
	Mode string `mapstructure:"mode"`
	Tier string `mapstructure:"tier"`
	// Pin is a directory on bpffs; empty pins nothing.
	Pin            string        `mapstructure:"pin"`
	RingBytes      Size          `mapstructure:"ring_bytes"`
	MaxWatches     int           `mapstructure:"max_watches"`
	OpenTimeout    time.Duration `mapstructure:"open_timeout"`
	RepeatInterval time.Duration `mapstructure:"repeat_interval"`
	Exempt         ExemptConfig  `mapstructure:"exempt"`

	_ struct{}
}

// ExemptConfig says who may touch tokens.
type ExemptConfig struct {
	Binaries []string `mapstructure:"binaries"`
	Cgroups  []string `mapstructure:"cgroups"`
	Report   bool     `mapstructure:"report"`

	_ struct{}
}

// KubernetesConfig says whether and how the API server is asked for workloads.
type KubernetesConfig struct {
	// Enabled is "auto", "on" or "off".
	Enabled string `mapstructure:"enabled"`
	// Kubeconfig is absolute; empty for the pod's service account.
	Kubeconfig  string        `mapstructure:"kubeconfig"`
	Labels      []string      `mapstructure:"labels"`
	Annotations []string      `mapstructure:"annotations"`
	WaitForPod  time.Duration `mapstructure:"wait_for_pod"`

	_ struct{}
}

// JournalConfig says how much of what was seen the node keeps.
type JournalConfig struct {
	MaxBytes int           `mapstructure:"max_bytes"` // 0 for no journal
	MaxAge   time.Duration `mapstructure:"max_age"`

	_ struct{}
}

// Size is a number of bytes, which a configuration may also write as "4MiB".
type Size int

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	// The text belongs to the one size that there is, so that its range can be
	// checked here already.
	n, err := config.ParseSize(string(text), config.MinRingBytes, config.MaxRingBytes)
	*s = Size(n)
	return err
}

// MarshalText implements encoding.TextMarshaler.
func (s Size) MarshalText() ([]byte, error) { return []byte(config.SizeText(int(s))), nil }

func createDefaultConfig() component.Config {
	d := config.Default()
	return &Config{
		StateDir: d.StateDir,
		NRI:      NRIConfig{Socket: d.NRI.Socket, PluginName: d.NRI.PluginName, PluginIndex: d.NRI.PluginIndex},
		Sensor: SensorConfig{
			Mode: d.Sensor.Mode, Tier: d.Sensor.Tier, Pin: d.Sensor.Pin, RingBytes: Size(d.Sensor.RingBytes), MaxWatches: d.Sensor.MaxWatches,
			OpenTimeout: d.Sensor.OpenTimeout, RepeatInterval: d.Sensor.RepeatInterval,
		},
		Kubernetes:      KubernetesConfig{Enabled: d.Kubernetes.Enabled, WaitForPod: d.Kubernetes.WaitForPod},
		CommandArgs:     d.CommandArgs,
		Journal:         JournalConfig{MaxBytes: d.Journal.MaxBytes, MaxAge: d.Journal.MaxAge},
		QueueSize:       exporter.DefaultQueue,
		MetricsInterval: time.Minute,
		ShutdownTimeout: 5 * time.Second,
	}
}

var (
	_ confmap.Unmarshaler = (*Config)(nil)
	_ confmap.Unmarshaler = (*MatchConfig)(nil)
)

// Unmarshal implements confmap.Unmarshaler. A key without a value counts as left
// out. A list item or a label without one is a mistake: confmap would take it
// for an empty text, and so make a selector that matches nothing of a slip of
// the pen.
func (c *Config) Unmarshal(conf *confmap.Conf) error {
	var bare []string
	unfit := withoutValue(conf.ToStringMap(), "", &bare)
	for _, key := range bare {
		// Delete takes a mapping along that becomes empty by it: "match" has to
		// stay. Below it no default is at stake.
		if !strings.HasPrefix(key, "match"+keyDelimiter) {
			conf.Delete(key)
		}
	}
	err := conf.Unmarshal(c)
	if err != nil && numberForText.MatchString(err.Error()) {
		err = errors.Join(err, errors.New(`a text that YAML takes for a number or a truth value needs quotes, as in plugin_index: "05"`))
	}
	return errors.Join(err, unfit)
}

// Unmarshal implements confmap.Unmarshaler, for a default that holds only when
// "match" is there.
func (c *MatchConfig) Unmarshal(conf *confmap.Conf) error {
	if c.ExcludeNamespaces == nil {
		for _, pattern := range config.Default().Match.ExcludeNamespaces {
			c.ExcludeNamespaces = append(c.ExcludeNamespaces, pattern.String())
		}
	}
	return conf.Unmarshal(c)
}

// numberForText finds mapstructure's refusal of a YAML number or truth value
// where a text is asked for, which doesn't say what to do about it.
var numberForText = regexp.MustCompile(`[sS]tring', got unconvertible type '(int|float64|bool)'`)

const (
	keyDelimiter = "::" // confmap.KeyDelimiter, which is a variable
	// matchLabels is how the path of a mapping of labels ends: there are such in
	// exclude rules and in tokens, too.
	matchLabels = keyDelimiter + "label_selector" + keyDelimiter + "match_labels"
)

// withoutValue collects in bare the keys outside of lists that have no value,
// and returns what must have one.
func withoutValue(v any, path string, bare *[]string) error {
	var errs []error
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			key := name
			if path != "" {
				key = path + keyDelimiter + name
			}
			if v[name] != nil {
				errs = append(errs, withoutValue(v[name], key, bare))
			} else if strings.HasSuffix(path, matchLabels) {
				errs = append(errs, fmt.Errorf(`%s: label %.60q has no value (the empty value is written "")`, dotted(path), name))
			} else {
				*bare = append(*bare, key)
			}
		}
	case []any:
		var inItems []string // keys of items can't be deleted one by one, and need not
		for i, item := range v {
			key := fmt.Sprintf("%s[%d]", path, i)
			if item == nil {
				errs = append(errs, fmt.Errorf("%s: has no value", dotted(key)))
			}
			errs = append(errs, withoutValue(item, key, &inItems))
		}
	}
	return errors.Join(errs...)
}

func dotted(key string) string { return strings.ReplaceAll(key, keyDelimiter, ".") }
