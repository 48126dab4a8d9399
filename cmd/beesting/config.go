package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/config"
)

func (a *app) config() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print an example of a configuration, or check one",
		Example: `  beesting config example > beesting.yaml
  beesting config validate beesting.yaml`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "example",
		Short:   "Print a commented configuration with every key",
		Example: `  beesting config example > beesting.yaml`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.stdout, config.Example())
			return err
		},
	}, &cobra.Command{
		Use:   "validate FILE",
		Short: "Check a configuration without starting anything",
		Long: `Check a configuration without starting anything.

Environment references are expanded with the environment of this command, and
files that tokens take their content from are read.`,
		Example: `  beesting config validate beesting.yaml
  NODE_NAME=any beesting config validate /etc/beesting/beesting.yaml`,
		Args: exactly(1, "one FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.load(args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s: %d tokens, no mistakes\n", printable(args[0]), len(c.Tokens))
			return err
		},
	})
	return cmd
}

func (a *app) load(path string) (config.Config, error) {
	c, _, err := a.loadSource(path)
	return c, err
}

func (a *app) loadSource(path string) (config.Config, config.Source, error) {
	return config.LoadSource(path, config.Environment{LookupEnv: a.lookupEnv, Hostname: os.Hostname})
}
