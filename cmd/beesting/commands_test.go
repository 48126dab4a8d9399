//go:build !vmtest

package main

//go:generate go test -run ^TestCommandsAreCurrent$ -count=1 . -update

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "rewrite the generated documentation")

// The help of every command, word for word.
func TestCommandsAreCurrent(t *testing.T) {
	const path = "../../docs/commands.md"
	want := commandsReference(t)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the commands say: go generate ./cmd/beesting", path)
	}
}

func commandsReference(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# Commands\n\n<!-- Made from the commands' help by go generate ./cmd/beesting; a test fails when this page is out of date. -->\n\n" +
		"What `beesting COMMAND --help` prints, for every command.\n")
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		text := help(t, strings.Fields(c.CommandPath())[1:])
		fmt.Fprintf(&b, "\n## %s\n\n```text\n%s\n```\n", c.CommandPath(), strings.TrimSpace(text))
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{}).root())
	return b.String()
}

func help(t *testing.T, command []string) string {
	t.Helper()
	var out, errs bytes.Buffer
	a := app{stdout: &out, stderr: &errs, lookupEnv: func(string) (string, bool) { return "", false }}
	if code := a.run(context.Background(), append(command, "--help")); code != exitOK || errs.Len() > 0 {
		t.Fatalf("%v --help: exit code %d, %s", command, code, &errs)
	}
	return out.String()
}

// Lines of help fit a terminal of 100 columns.
func TestHelpIsNarrow(t *testing.T) {
	for line := range strings.Lines(commandsReference(t)) {
		if n := len(strings.TrimSuffix(line, "\n")); n > 110 && !strings.HasPrefix(line, "<!--") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}
