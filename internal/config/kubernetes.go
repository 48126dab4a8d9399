package config

import (
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/beesting-otel/beesting/internal/policy"
)

// Kubernetes says whether and how the API server is asked for workloads.
type Kubernetes struct {
	Enabled string // "auto", "on" or "off"
	// Kubeconfig is absolute and clean; empty for the pod's service account.
	Kubeconfig string
	// Labels and Annotations of pods are told, by their keys; none twice.
	Labels, Annotations []string
	// WaitForPod is how long an access waits at most; 0 to MaxWaitForPod.
	WaitForPod time.Duration
}

// The bounds of what is told of a pod. Loki refuses a record with more than 128
// attributes for good, and an access has about 70.
const (
	MaxPodLabels      = 32
	MaxPodAnnotations = 16
)

// MaxWaitForPod is how late an access may be told for its pod. The kernel's counts
// are settled once a second, and more would put that off.
const MaxWaitForPod = time.Second

// KubernetesModes are the values of kubernetes.enabled.
func KubernetesModes() []string { return []string{"auto", "on", "off"} }

// CheckLabelKey holds for what the key of a pod's label can be.
func CheckLabelKey(s string) error {
	if _, err := policy.ParseRequirement(s, "Exists", nil); err != nil {
		return fmt.Errorf("%q: %w", clip(s), errors.New("not a label's key, which is NAME or PREFIX/NAME, as in app.kubernetes.io/name"))
	}
	return nil
}

// CheckAnnotationKey holds for what the key of a pod's annotation can be.
func CheckAnnotationKey(s string) error {
	if _, err := policy.ParseAnnotation(s, "optIn"); err != nil {
		return fmt.Errorf("%q: %w", clip(s), err)
	}
	return nil
}

// CheckPodKeys holds for how many labels or annotations can be asked for.
func CheckPodKeys(n, most int) error {
	if n > most {
		return fmt.Errorf("%d of them, at most %d are allowed", n, most)
	}
	return nil
}

func kubernetesKey() key[Config] {
	keys := []key[Kubernetes]{
		{entry{
			name: "enabled", form: oneOfText(KubernetesModes()), def: "auto",
			doc: "`auto` asks where there is a way: a `kubeconfig`, or the service account of a pod. `on` makes it a mistake if there is none.",
		}, func(p *parser, c *Kubernetes, n *yaml.Node) {
			c.Enabled, _ = p.oneOf(n, "kubernetes.enabled", KubernetesModes())
		}},
		{entry{
			name: "kubeconfig", form: "absolute path", hint: "/etc/kubernetes/beesting.conf",
			doc: "File that says where the API server is and who asks; left out, the pod's service account does.",
		}, func(p *parser, c *Kubernetes, n *yaml.Node) {
			c.Kubeconfig, _ = read(p, n, "kubernetes.kubeconfig", CleanAbsolute)
		}},
		{entry{
			name: "labels", form: "list of text", hint: "[app.kubernetes.io/part-of, team]",
			doc: "Labels of the token's pod that are told (`k8s.pod.label.<key>`), by their keys; at most 32.",
		}, func(p *parser, c *Kubernetes, n *yaml.Node) {
			c.Labels = p.podKeys(n, "kubernetes.labels", MaxPodLabels, CheckLabelKey)
		}},
		{entry{
			name: "annotations", form: "list of text", hint: "[example.com/contact]",
			doc: "Annotations of the token's pod that are told (`k8s.pod.annotation.<key>`), by their keys; at most 16, and of each 1,024 bytes.",
		}, func(p *parser, c *Kubernetes, n *yaml.Node) {
			c.Annotations = p.podKeys(n, "kubernetes.annotations", MaxPodAnnotations, CheckAnnotationKey)
		}},
		{entry{
			name: "waitForPod", form: "duration", def: "250ms",
			doc: "How long an access waits at most when the API server is connected and has not told of its pod yet, or is being asked " +
				"for the owner; 0s to 1s. Only the first accesses of a pod do, and others go ahead.",
		}, func(p *parser, c *Kubernetes, n *yaml.Node) {
			c.WaitForPod, _ = p.duration(n, "kubernetes.waitForPod", 0, MaxWaitForPod)
		}},
	}
	return key[Config]{entry{
		name: "kubernetes", form: "mapping", sub: entries(keys),
		doc: "What the API server is asked for: the owners of pods (`k8s.deployment.name` …), their labels and annotations. " +
			"Accesses are told without it too; docs/workloads.md has the rights that it takes. The pods asked for are those of `nodeName`.",
	}, func(p *parser, c *Config, n *yaml.Node) { mapping(p, n, "kubernetes", keys, &c.Kubernetes) }}
}

// podKeys reads a list of keys, none of them twice.
func (p *parser) podKeys(n *yaml.Node, what string, most int, rule func(string) error) (out []string) {
	if n.Kind == yaml.SequenceNode {
		if err := CheckPodKeys(len(n.Content), most); err != nil {
			p.fail(n, "%s: %v", what, err)
			return nil
		}
	}
	seen := map[string]int{}
	p.texts(n, what, func(n *yaml.Node, s string) {
		if err := rule(s); err != nil {
			p.fail(n, "%s: %v", what, err)
			return
		}
		if first, dup := seen[s]; dup {
			p.fail(n, "%s: %q is already listed in line %d", what, s, first)
			return
		}
		seen[s] = n.Line
		out = append(out, s)
	})
	return out
}
