package collectorreceiver

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
)

// base is a configuration to which a mistake can be added.
const base = "tokens: [{name: a, path: /a, content: x}]\nmatch: {}\n"

func TestMistakes(t *testing.T) {
	cm, err := confmaptest.LoadConf(filepath.Join("testdata", "mistakes.yaml"))
	require.NoError(t, err)
	for name := range cm.ToStringMap() {
		t.Run(name, func(t *testing.T) {
			var test struct {
				Base   bool           `mapstructure:"base"`
				Config map[string]any `mapstructure:"config"`
				Want   []string       `mapstructure:"want"`
			}
			one, err := cm.Sub(name)
			require.NoError(t, err)
			require.NoError(t, one.Unmarshal(&test))
			conf := confmap.New()
			if test.Base {
				conf = yaml(t, base)
			}
			require.NoError(t, conf.Merge(confmap.NewFromStringMap(test.Config)))
			require.Equal(t, test.Want, lines(mistakesOf(t, conf)))
		})
	}
}

func yaml(t *testing.T, text string) *confmap.Conf {
	t.Helper()
	r, err := confmap.NewRetrievedFromYAML([]byte(text))
	require.NoError(t, err)
	conf, err := r.AsConf()
	require.NoError(t, err)
	return conf
}

// mistakesOf reads and, like the Collector, validates only what could be read.
func mistakesOf(t *testing.T, conf *confmap.Conf) error {
	t.Helper()
	c, ok := createDefaultConfig().(*Config)
	require.True(t, ok)
	if err := conf.Unmarshal(c); err != nil {
		return err
	}
	return confmap.Validate(c)
}

// lines leaves out what confmap puts before a level, whose name is "" here.
func lines(err error) []string {
	var out []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		line = strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "'' ")
		if line != "" && !strings.HasSuffix(line, "decoding failed due to the following error(s):") {
			out = append(out, line)
		}
	}
	return out
}

func TestManyMistakesAreBounded(t *testing.T) {
	c := defaults()
	c.Tokens = make([]TokenConfig, 1000)
	got := lines(confmap.Validate(c))
	require.Len(t, got, maxMistakes+1)
	assert.Equal(t, "tokens: 1000 of them, at most 64 are allowed", got[0])
	assert.Equal(t, "and 173 more mistakes", got[maxMistakes])
}

// Each of these has to end in an error of a readable size, soon.
func TestHostileValues(t *testing.T) {
	long := strings.Repeat("x", 1<<18)
	tests := map[string]string{
		"many tokens":      "match: {}\ntokens: [" + strings.Repeat("{name: a},", 5_000) + "]",
		"deep path":        "match: {}\ntokens: [{name: a, path: '" + strings.Repeat("/a", 1<<19) + "', content: x}]",
		"long values":      base + "node_name: " + long + "\nstate_dir: " + long + "\ncommand_args: " + long + "\nnri: {socket: " + long + ", plugin_index: " + long + "}",
		"long size":        base + "sensor: {ring_bytes: '" + strings.Repeat("9", 1<<20) + "'}",
		"long labels":      base[:len(base)-len("match: {}\n")] + "match: {label_selector: {match_labels: {? " + long + " : a, b: " + long + "}}}",
		"long namespace":   base[:len(base)-len("match: {}\n")] + "match: {namespaces: [" + long + "]}",
		"many labels":      "match: {label_selector: {match_labels: {" + manyLabels(2_000) + "}}}",
		"not UTF-8":        "match: {}\ntokens: [{name: \"\\xff\\xfe\", path: \"/\\xff\", content: x}]\nnode_name: \"\\xff\"",
		"huge numbers":     base + "queue_size: 1e99\nsensor: {max_watches: -1e99, ring_bytes: 1e300}",
		"other numbers":    base + "queue_size: .inf\nsensor: {max_watches: .nan, ring_bytes: 18446744073709551615}",
		"delimiter":        base + "'nri::socket': /x\n'a::b': c",
		"component's name": base + "honeytoken: {tokens: []}",
		"merge":            "m: &m {match: {}}\n<<: *m\ntokens: []",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			err := mistakesOf(t, yaml(t, text))
			require.Error(t, err)
			assert.Less(t, len(err.Error()), 20_000)
			assert.Less(t, time.Since(start), 20*time.Second)
		})
	}
}

func manyLabels(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "'%d !': a, ", i)
	}
	return b.String()
}
