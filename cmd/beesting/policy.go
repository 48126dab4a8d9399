package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/policy"
)

func (a *app) policy() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Try out which containers get which tokens",
		Example: `  beesting policy explain --config beesting.yaml --namespace shop --container app \
    --image nginx:1.27`,
		Args: subcommandOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.explain())
	return cmd
}

func (a *app) explain() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "explain --config FILE",
		Short: "Say which tokens a container would get, and why",
		Long: `Say which tokens a container would get by a configuration, and why. For each
token the key of the configuration is named that decides first; items of lists
are counted from 0. Nothing is started and nobody is asked: the container is the
one that the flags describe, and what they leave out is not known of it.

Whether a token can be planted at its path depends on the container's mounts,
too, which "beesting status" tells of containers that are there.`,
		Example: `  beesting policy explain --config beesting.yaml --namespace shop --container app
  beesting policy explain --config beesting.yaml --namespace shop --pod-label app=web \
    --container app --image registry.example:5000/shop/web:v1 --json`,
		Args: noArgs,
	}
	file := cmd.Flags().String("config", "", "configuration `FILE` (required)")
	d := description{labels: map[string]string{}, annotations: map[string]string{}}
	d.flags(cmd)
	asJSON := jsonFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *file == "" {
			return usageError{fmt.Errorf("--config FILE must be given (see `%s --help`)", cmd.CommandPath())}
		}
		c, err := a.load(*file)
		if err != nil {
			return err
		}
		verdicts := c.Policy().Explain(d.container())
		if *asJSON {
			return printJSON(a.stdout, verdicts)
		}
		return writeVerdicts(a.stdout, verdicts)
	}
	return cmd
}

// description is a container by flags.
type description struct {
	namespace, name, image string
	labels, annotations    map[string]string
}

func (d *description) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.namespace, "namespace", "", "the pod's `NAMESPACE`")
	f.Var(pairs{d.labels}, "pod-label", "a label of the pod's (repeatable)")
	f.Var(pairs{d.annotations}, "pod-annotation", "an annotation of the pod's (repeatable)")
	f.StringVar(&d.name, "container", "", "the container's `NAME`")
	f.StringVar(&d.image, "image", "", "the container's image: its `REFERENCE` with tag and digest, if known")
}

func (d *description) container() beesting.Container {
	c := beesting.Container{Name: d.name, Pod: beesting.Pod{Namespace: d.namespace, Labels: d.labels, Annotations: d.annotations}}
	name, tag, digest := beesting.SplitImage(d.image)
	c.ImageName = name
	if tag != "" {
		c.ImageTags = []string{tag}
	}
	if digest != "" {
		c.ImageDigests = []string{digest}
	}
	return c
}

// pairs is a flag that is given once for each KEY=VALUE. The value may hold
// anything, commas too.
type pairs struct{ m map[string]string }

func (p pairs) String() string { return "" }

// Type is what the help calls the value.
func (p pairs) Type() string { return "KEY=VALUE" }

// Set takes one pair.
func (p pairs) Set(s string) error {
	key, value, found := strings.Cut(s, "=")
	if !found || key == "" {
		return errors.New("must be KEY=VALUE")
	}
	if _, dup := p.m[key]; dup {
		return fmt.Errorf("%q is given twice", key)
	}
	p.m[key] = value
	return nil
}

func writeVerdicts(w io.Writer, verdicts []policy.Verdict) error {
	t := &table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	t.row("TOKEN", "PLANTED", "DECIDED BY", "WHY")
	for _, v := range verdicts {
		planted := "no"
		if v.Planted {
			planted = "yes"
		}
		t.row(v.Token, planted, v.Rule, strings.Join(append([]string{v.Why}, v.Odd...), "; "))
	}
	return t.w.Flush()
}
