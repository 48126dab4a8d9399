//go:build k8s

package k8s

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
	"github.com/beesting-otel/beesting/test/k8s/cluster"
	"github.com/beesting-otel/beesting/test/runtime/ctd"
)

// The parts, made by test/k8s/cmd/k8s.
var (
	binaries     = flag.String("binaries", "", "directory with etcd, kube-apiserver and so on")
	helmFile     = flag.String("helm", "", "the helm executable")
	collectorExe = flag.String("collector", "", "the OpenTelemetry Collector that stands for a back end")
	bundleDir    = flag.String("bundle", "", "directory with containerd, runc and images")
	cniDir       = flag.String("cni", "", "directory with CNI plugins")
	imageName    = flag.String("image", "", "name and tag of the agent's image")
	archive      = flag.String("archive", "", "OCI archive with the agent's image")
	receiverName = flag.String("receiver-image", "", "name and tag of the image of the Collector with the receiver")
	receiverFile = flag.String("receiver-archive", "", "OCI archive with it")
	chartDir     = flag.String("chart", "", "directory of the Helm chart")
)

// patience is how long a step may take on a machine that is busy with other things.
const patience = 4 * time.Minute

const (
	release   = "beesting"
	namespace = "beesting" // of the agent
	shop      = "shop"     // of the workloads
	awsPath   = "/root/.aws/credentials"
	envPath   = "/srv/app/.env"
)

// suite is what the scenarios share: one cluster, one release, one back end.
type suite struct {
	cluster *cluster.Cluster
	backEnd *collector.Collector
	values  string // file
	// workloads says that the agent in the image knows what a pod belongs to.
	workloads bool
}

// TestKubernetes runs every scenario, in this order, on one cluster.
func TestKubernetes(t *testing.T) {
	s := newSuite(t)
	for _, sc := range []struct {
		name string
		run  func(*suite, *testing.T)
	}{
		{"Install", (*suite).install},
		{"Workloads", (*suite).threeWorkloads},
		{"ConfigMap", (*suite).configMap},
		{"AgentKilled", (*suite).agentKilled},
		{"KubeletRestart", (*suite).kubeletRestart},
		{"ContainerdRestart", (*suite).containerdRestart},
		{"Drain", (*suite).drain},
		{"RollingUpdate", (*suite).rollingUpdate},
		{"APIServerAway", (*suite).apiServerAway},
		{"Capabilities", (*suite).capabilities},
		{"Uninstall", (*suite).uninstall},
		{"Collector", (*suite).collector},
		{"Kustomize", (*suite).kustomize},
	} {
		begin := time.Now()
		ok := t.Run(sc.name, func(t *testing.T) { sc.run(s, t) })
		t.Logf("%s took %.0f s", sc.name, time.Since(begin).Seconds())
		if !ok {
			t.Log(s.report())
			if sc.name == "Install" {
				t.Fatal("there is nothing to test the rest on")
			}
		}
	}
}

func need(t *testing.T, name string, value *string) string {
	t.Helper()
	if *value == "" {
		t.Fatalf("no -%s: run these tests with `make test-k8s`", name)
	}
	return *value
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	begin := time.Now()
	c, err := cluster.Start(t.Context(), cluster.Options{
		Binaries: need(t, "binaries", binaries), Bundle: ctd.Bundle(need(t, "bundle", bundleDir)), CNI: need(t, "cni", cniDir),
		Images: []string{need(t, "archive", archive), need(t, "receiver-archive", receiverFile)}, Log: func(line string) { t.Log(line) },
	})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the node is ready after %.1f s", time.Since(begin).Seconds())
	nodeName = filepath.Base(c.Node.Dir())
	s := &suite{cluster: c, values: filepath.Join(t.TempDir(), "values.yaml")}
	s.backEnd, err = collector.Start(t.Context(), collector.Config{
		Binary: need(t, "collector", collectorExe), HTTP: cluster.HostIP + ":4318", GRPC: cluster.HostIP + ":4317",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.backEnd.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// writeValues says what is this cluster's, and not the chart's default.
func (s *suite) writeValues(t *testing.T) {
	t.Helper()
	name, tag, _ := strings.Cut(need(t, "image", imageName), ":")
	text := fmt.Sprintf(`image: {repository: %q, tag: %q, pullPolicy: Never}
otlp: {endpoint: "http://%s:4318"}
node:
  nriDir: %q
  kubeletDir: %q
  stateDir: %q
tokens:
  - {name: aws, kind: aws-credentials}
match: {namespaces: [%s]}
`, name, tag, cluster.HostIP, filepath.Dir(s.cluster.Node.NRISocket()), s.cluster.KubeletDir(), s.stateDir(), shop)
	if err := os.WriteFile(s.values, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) stateDir() string { return filepath.Join(s.cluster.Node.Dir(), "beesting") }

// helm runs Helm on the release, with the values of the suite and more.
func (s *suite) helm(t *testing.T, command string, more ...string) string {
	t.Helper()
	out, err := s.tryHelm(t, command, more...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *suite) tryHelm(t *testing.T, command string, more ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	args := []string{command, release}
	if command == "install" || command == "upgrade" {
		args = append(args, need(t, "chart", chartDir), "--values", s.values)
	}
	return s.cluster.Run(ctx, need(t, "helm", helmFile), append(append(args, "--namespace", namespace), more...)...)
}

// kubectl runs a command that must succeed.
func (s *suite) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := s.cluster.Kubectl(ctx, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *suite) apply(t *testing.T, manifest string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := s.cluster.KubectlWith(ctx, manifest, "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// eventually waits until there is no error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(300 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("waited in vain for %s: %v", what, err)
		}
	}
}

// agent is the agent's pod that isn't on its way out.
func (s *suite) agent(t *testing.T) string {
	t.Helper()
	return s.pod(t, namespace, "app.kubernetes.io/component=agent")
}

// staying has kubectl print the names of pods that are not on their way out.
const staying = "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}} {{end}}{{end}}"

// pod is the name of a running pod with labels.
func (s *suite) pod(t *testing.T, ns, selector string) string {
	t.Helper()
	name := ""
	eventually(t, "a pod with "+selector, func() error {
		out, err := s.cluster.Kubectl(t.Context(), "-n", ns, "get", "pods", "-l", selector, "--field-selector", "status.phase=Running",
			"-o", staying)
		names := strings.Fields(out)
		if err == nil && len(names) != 1 {
			err = fmt.Errorf("%d are running: %q", len(names), names)
		}
		if err == nil {
			name = names[0]
		}
		return err
	})
	return name
}

// ask runs beesting in the agent's container.
func (s *suite) ask(t *testing.T, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.cluster.Kubectl(ctx, append([]string{"-n", namespace, "exec", "ds/" + release, "--", "beesting"}, args...)...)
}

// healthy waits until the agent says that all is well.
func (s *suite) healthy(t *testing.T) {
	t.Helper()
	eventually(t, "a healthy agent", func() error {
		_, err := s.ask(t, "status", "--check")
		return err
	})
}

// report is for a scenario that failed.
func (s *suite) report() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out := ""
	for _, args := range [][]string{
		{"get", "pods", "-A", "-o", "wide"},
		{"-n", namespace, "logs", "ds/" + release, "--tail", "40"},
		{"-n", namespace, "logs", "ds/" + release, "--tail", "10", "--previous"},
		{"-n", namespace, "exec", "ds/" + release, "--", "beesting", "status"},
		{"get", "events", "-A", "--field-selector", "type!=Normal"},
	} {
		text, err := s.cluster.Kubectl(ctx, args...)
		out += fmt.Sprintf("kubectl %s (%v):\n%s\n", strings.Join(args, " "), err, text)
	}
	return out + s.cluster.LogTails()
}
