package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// testPackage is what the go command says of a package's tests.
type testPackage struct {
	ImportPath, Dir           string
	TestGoFiles, XTestGoFiles []string
}

func (p testPackage) files() []string { return slices.Concat(p.TestGoFiles, p.XTestGoFiles) }

// listTests returns the packages that patterns match, in an order that the build
// tags don't change.
func listTests(ctx context.Context, tags string, patterns []string) ([]testPackage, error) {
	list := exec.CommandContext(ctx, "go", append([]string{"list", tags, "-json=ImportPath,Dir,TestGoFiles,XTestGoFiles"}, patterns...)...)
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	raw, err := output(list)
	if err != nil {
		return nil, err
	}
	var packages []testPackage
	for dec := json.NewDecoder(bytes.NewReader(raw)); ; {
		var p testPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list: %w", err)
		}
		packages = append(packages, p)
	}
}

// pattern matches the tests in the files that the same package doesn't have
// without the build tag; it is empty if there are none.
func (p testPackage) pattern(without testPackage) (string, error) {
	if p.ImportPath != without.ImportPath {
		return "", fmt.Errorf("go list: %s where %s was", p.ImportPath, without.ImportPath)
	}
	var names []string
	for _, name := range p.files() {
		if slices.Contains(without.files(), name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				names = append(names, f.Name.Name)
			}
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	return "^(" + strings.Join(names, "|") + ")$", nil
}
