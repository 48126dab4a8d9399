package collectorreceiver

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The example of README.md is right, and whole: every component of a pipeline
// is configured.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(readme, -1)
	require.Len(t, blocks, 1)
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, blocks[0][1], 0o600))
	t.Setenv("NODE_NAME", "node-1")
	cm := resolve(t, path)

	sub, err := cm.Sub("receivers::honeytoken")
	require.NoError(t, err)
	c := valid(t, sub)
	assert.Len(t, c.Tokens, 2)
	assert.Equal(t, "node-1", c.NodeName)

	var whole struct {
		Receivers map[string]any `mapstructure:"receivers"`
		Exporters map[string]any `mapstructure:"exporters"`
		Service   struct {
			Pipelines map[string]struct {
				Receivers []string `mapstructure:"receivers"`
				Exporters []string `mapstructure:"exporters"`
			} `mapstructure:"pipelines"`
		} `mapstructure:"service"`
	}
	require.NoError(t, cm.Unmarshal(&whole))
	for _, signal := range []string{"logs", "traces", "metrics"} {
		p := whole.Service.Pipelines[signal]
		require.NotEmpty(t, p.Receivers, signal)
		for _, id := range p.Receivers {
			assert.Contains(t, whole.Receivers, id)
		}
		for _, id := range p.Exporters {
			assert.Contains(t, whole.Exporters, id)
		}
	}
}

// Links to files of this repository, and to headings in them, lead somewhere.
func TestReadmeLinks(t *testing.T) {
	for _, path := range []string{"README.md", "../docs/collector-configuration.md"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		links := regexp.MustCompile(`\]\(([^):#]*)(#[^)]*)?\)`).FindAllSubmatch(text, -1)
		require.NotEmpty(t, links, path)
		for _, link := range links {
			target := path
			if file := string(link[1]); file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			page, err := os.ReadFile(target)
			require.NoError(t, err, path)
			if anchor := string(link[2]); anchor != "" {
				assert.Contains(t, anchors(string(page)), anchor, "%s: %s", path, target)
			}
		}
	}
}

// anchors are the headings of a page, as GitHub makes links of them.
func anchors(page string) []string {
	var out []string
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			continue
		}
		heading := strings.ToLower(strings.Trim(line, "# \n"))
		out = append(out, "#"+regexp.MustCompile(`[^a-z0-9_ -]`).ReplaceAllString(strings.ReplaceAll(heading, " ", "-"), ""))
	}
	return out
}
