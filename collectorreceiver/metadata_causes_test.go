package collectorreceiver

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The causes of lost events in metadata.yaml are those that have a constant
// Lost… where events can be lost, and decode_error, which has a count of its own.
func TestLostCausesAreAll(t *testing.T) {
	causes := []string{"decode_error"}
	for _, dir := range []string{"../bpf", "../internal/fanotify", "../internal/agent"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		before := len(causes)
		for _, file := range files {
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			ast.Inspect(f, func(n ast.Node) bool {
				spec, ok := n.(*ast.ValueSpec)
				if !ok || !strings.HasPrefix(spec.Names[0].Name, "Lost") || len(spec.Values) != 1 {
					return true
				}
				if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
					cause, err := strconv.Unquote(lit.Value)
					require.NoError(t, err)
					causes = append(causes, cause)
				}
				return true
			})
		}
		assert.Greater(t, len(causes), before, "%s has no constant Lost…", dir)
	}
	assert.ElementsMatch(t, causes, readMeta(t).Attributes["lost_cause"].Enum)
}
