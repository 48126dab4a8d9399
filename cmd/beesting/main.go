// Command beesting watches fake secrets and tells the observability stack who
// touched them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/config"
)

// The exit codes, as the root command's help has them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	a := app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv}
	os.Exit(a.run(context.Background(), os.Args[1:]))
}

// app is what a command may use of the process that it runs in.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(string) (string, bool)
}

func (a *app) getenv(name string) string {
	v, _ := a.lookupEnv(name)
	return v
}

// run executes a command line, prints its error and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	err := root.ExecuteContext(ctx)
	var code codeError
	var usage usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		a.report(err)
		return exitUsage
	}
	a.report(err)
	return exitFailure
}

// codeError ends the process with a code when everything has been said.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a command line that can't be understood.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// report prints an error as one line; a configuration's mistakes, which are
// errors of their own wherever they were found, and files that can't be watched as one line each.
func (a *app) report(err error) {
	var mistakes *config.Error
	var files fileErrors
	var refused refusedError
	separate := errors.As(err, &mistakes) || errors.As(err, &files) || errors.As(err, &refused)
	text := err.Error()
	if !separate {
		text = strings.ReplaceAll(text, "\n", "; ")
	}
	for line := range strings.SplitSeq(text, "\n") {
		_, _ = fmt.Fprintf(a.stderr, "beesting: %s\n", printable(line)) // nobody is left to tell
	}
}

// printable escapes what could act on a terminal: names of files and values of
// a configuration end up in messages.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "beesting",
		Short: "Watch fake secrets and report who touched them as OpenTelemetry",
		Long: `beesting plants fake secrets (tokens) in containers, watches their inodes with
eBPF, and reports who touched them as OpenTelemetry logs and spans.

Exit codes: 0 all went well, 1 something failed, 2 the command line is wrong.`,
		Example: `  # See an access in ten seconds, on any Linux host:
  sudo beesting watch /etc/shadow

  # Can this machine run the agent?
  sudo beesting check

  # Run the agent, and ask how it fares:
  beesting config example > beesting.yaml
  sudo beesting agent --config beesting.yaml
  sudo beesting status

  # What was seen lately?
  sudo beesting accesses --since 24h

  # A secret has turned up somewhere: which container is it from?
  sudo beesting trace-token FILE

  # Leave nothing behind:
  sudo beesting uninstall --state`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          subcommandOnly,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.CompletionOptions.DisableDefaultCmd = true
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see `%s --help`)", err, c.CommandPath())}
	})
	cmd.AddCommand(a.agent(), a.watch(), a.check(), a.status(), a.reload(), a.accesses(), a.deadLettersCommand(), a.traceToken(), a.stealth(), a.kinds(), a.config(), a.policy(),
		a.uninstall(), a.version(), completion())
	return cmd
}

// subcommandOnly refuses what is not a subcommand.
func subcommandOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf(": did you mean %q?", near[0])
	}
	return usageError{fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), hint)}
}

// noArgs refuses any argument.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected argument %q (see `%s --help`)", args[0], cmd.CommandPath())}
	}
	return nil
}

// exactly asks for arguments that the usage line names.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError{fmt.Errorf("want %s, got %d arguments (see `%s --help`)", what, len(args), cmd.CommandPath())}
		}
		return nil
	}
}
