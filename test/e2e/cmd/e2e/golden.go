package main

import (
	"os"
	"path/filepath"
	"strings"
)

const (
	goldenDir   = "test/e2e/testdata"
	goldenBegin = "--- golden file "
	goldenEnd   = "--- end of golden file"
)

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
		if err := os.WriteFile(filepath.Join(goldenDir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}
