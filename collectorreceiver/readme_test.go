package collectorreceiver

import (
	"os"
	"path/filepath"
	"regexp"
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

// Links to files of this repository lead somewhere.
func TestReadmeLinks(t *testing.T) {
	for _, path := range []string{"README.md", "../docs/collector-configuration.md"} {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		links := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`).FindAllSubmatch(text, -1)
		require.NotEmpty(t, links, path)
		for _, link := range links {
			assert.FileExists(t, filepath.Join(filepath.Dir(path), string(link[1])), path)
		}
	}
}
