package main

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/content"
)

func (a *app) kinds() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kinds [KIND]",
		Short: "List the kinds of tokens, or print a sample of one",
		Long: `List the kinds of tokens whose content beesting makes, or print a sample of one,
as a container could get it. Every call makes another one; nothing is planted,
and nothing that the sample names exists.

ID says how many of the canary id's 128 bits a secret of the kind carries;
"beesting trace-token" reads them. docs/kinds.md has the rest.`,
		Example: `  beesting kinds
  beesting kinds aws-credentials
  beesting kinds --json | jq -r '.[] | select(.path) | [.name, .path] | @tsv'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("unexpected argument %q (see `%s --help`)", args[1], cmd.CommandPath())}
			}
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return content.Names(), cobra.ShellCompDirectiveNoFileComp
		},
	}
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return listKinds(a.stdout, *asJSON)
		}
		if *asJSON {
			return usageError{fmt.Errorf("--json is for the list, a sample is as it is")}
		}
		if _, err := content.Lookup(args[0]); err != nil {
			return usageError{err}
		}
		data, err := sample(args[0], time.Now())
		if err == nil {
			_, err = a.stdout.Write(data)
		}
		return err
	}
	return cmd
}

// kindRow is what JSON says of a kind.
type kindRow struct {
	Name   string   `json:"name"`
	About  string   `json:"about"`
	Path   string   `json:"path,omitempty"`
	Mode   string   `json:"mode"`
	IDBits int      `json:"id_bits"`
	Values []string `json:"values"`
}

func listKinds(w io.Writer, asJSON bool) error {
	var rows []kindRow
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("KIND", "PATH", "MODE", "ID", "WHAT")
	for _, k := range content.Kinds() {
		row := kindRow{Name: k.Name, About: k.About, Path: k.Path, Mode: fmt.Sprintf("%04o", k.Mode), IDBits: k.Bits, Values: []string{}}
		for _, v := range k.Values {
			row.Values = append(row.Values, v.Name)
		}
		rows = append(rows, row)
		path, bits := k.Path, "-"
		if path == "" {
			path = "-"
		}
		if k.Bits > 0 {
			bits = fmt.Sprint(k.Bits)
		}
		t.row(k.Name, path, row.Mode, bits, strings.ReplaceAll(k.About, "`", ""))
	}
	if asJSON {
		return printJSON(w, rows)
	}
	return t.w.Flush()
}

// sample makes what nobody will ever plant.
func sample(kind string, now time.Time) ([]byte, error) {
	var seed [32]byte
	var id [16]byte
	_, _ = rand.Read(seed[:]) // never fails (crypto/rand, since Go 1.24)
	_, _ = rand.Read(id[:])
	out, err := content.NewMaker(seed).Make(kind, content.Input{
		TokenID: strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:])),
		Seed:    seed, Time: now, Token: kind, Container: "app", Pod: "", Namespace: "",
	})
	return out.Content, err
}
