package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	goldenDir   = "test/e2e/testdata"
	goldenBegin = "--- golden file "
	goldenEnd   = "--- end of golden file"
)

// The golden file that is a part of the documentation, too.
const (
	matrixFile  = "planting-matrix.md"
	matrixDoc   = "docs/planting.md"
	matrixBegin = "<!-- matrix: begin -->\n"
	matrixEnd   = "<!-- matrix: end -->\n"
)

// withMatrix puts the table between a document's markers.
func withMatrix(doc, table string) (string, error) {
	head, rest, begins := strings.Cut(doc, matrixBegin)
	_, tail, ends := strings.Cut(rest, matrixEnd)
	if !begins || !ends {
		return "", fmt.Errorf("%s: no lines %q and %q", matrixDoc, matrixBegin, matrixEnd)
	}
	return head + matrixBegin + table + matrixEnd + tail, nil
}

func writeMatrix(file, table string) error {
	doc, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err := withMatrix(string(doc), table)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// goldenFiles cuts the golden files out of the tests' output: the files of a VM
// don't come back.
type goldenFiles struct {
	name  string // of the file being read
	files map[string][]string
}

func (g *goldenFiles) line(s string) {
	name, begins := strings.CutPrefix(s, goldenBegin)
	switch {
	case begins:
		g.name = filepath.Base(name)
	case s == goldenEnd:
		g.name = ""
	case g.name != "":
		if g.files == nil {
			g.files = map[string][]string{}
		}
		g.files[g.name] = append(g.files[g.name], s)
	}
}

func (g *goldenFiles) write() error {
	for name, lines := range g.files {
		text := strings.Join(lines, "\n") + "\n"
		if name == matrixFile {
			if err := writeMatrix(matrixDoc, text); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(goldenDir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
