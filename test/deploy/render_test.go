package deploy

import (
	"flag"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

var update = flag.Bool("update", false, "write the generated files anew")

const (
	chartDir = "../../deploy/otel/chart/beesting"
	basesDir = "../../deploy/otel/kustomize"
)

type values = map[string]any

// variant is a set of values that stands for one way to use the chart.
type variant struct {
	name   string
	values values
}

// variantRows use every value that changes what is rendered.
var variantRows = []variant{
	{"agent", values{"otlp": values{"endpoint": "http://otel-collector.monitoring:4318"}}},
	{"agent with everything", values{
		"otlp":         values{"endpoint": "https://otel.example:4317", "protocol": "grpc", "headersSecret": "headers", "tlsSecret": "tls", "clientCertificate": true},
		"image":        values{"digest": "sha256:" + strings.Repeat("0", 64)},
		"commonLabels": values{"team": "security"}, "podLabels": values{"a": "b"}, "podAnnotations": values{"c": "d"},
		"imagePullSecrets": []any{values{"name": "registry"}}, "extraEnv": []any{values{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}},
		"affinity":       values{"nodeAffinity": values{}},
		"seLinuxOptions": values{"type": "spc_t"}, "maxUnavailable": "10%", "podSecurity": values{"createNamespace": true},
		"config": values{"sensor": values{"tier": "recon"}, "journal": values{"maxAge": "24h"}, "nri": values{"pluginIndex": "95"}},
		"node":   values{"nriDir": "/run/nri", "kubeletDir": "/var/lib/k0s/kubelet"},
	}},
	{"agent without options", values{
		"otlp": values{"endpoint": "http://otel:4318"}, "node": values{"bpffs": ""}, "priorityClass": values{"create": false},
		"serviceAccount": values{"create": false, "name": "own"}, "rbac": values{"create": false}, "networkPolicy": values{"enabled": false},
	}},
	{"agent and gateway", values{"gateway": values{"enabled": true}, "networkPolicy": values{"egress": []any{values{"ports": []any{values{"port": 4318}}}}}}},
	{"collector", values{"mode": "collector", "collector": values{"endpoint": "gateway:4317", "insecure": true}}},
	{"collector and gateway", values{
		"mode": "collector", "otlp": values{"tlsSecret": "tls", "clientCertificate": true}, "collector": values{"config": values{"receivers": values{"honeytoken": values{"node_name": "n"}}}},
		"gateway": values{"enabled": true, "replicas": 3, "tlsSecret": "tls", "envSecret": "env", "config": values{"processors": values{}}, "storage": values{"className": "fast"}},
	}},
}

func loadChart(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render is what Helm does with values, without a cluster: the schema is looked at too.
func render(t *testing.T, v values) (map[string]string, error) {
	t.Helper()
	c := loadChart(t)
	release := common.ReleaseOptions{Name: "beesting", Namespace: "beesting", IsInstall: true, Revision: 1}
	in, err := util.ToRenderValues(c, v, release, common.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	out, err := engine.Render(c, in)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for name, text := range out {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(text) != "" {
			files[strings.TrimPrefix(name, "beesting/templates/")] = text
		}
	}
	return files, nil
}

// everything is all that Helm and kustomize make of what is here, by a name.
func everything(t *testing.T) map[string][]object {
	t.Helper()
	all := map[string][]object{}
	for _, v := range variantRows {
		files, err := render(t, v.values)
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		for _, name := range slices.Sorted(maps.Keys(files)) {
			all["helm: "+v.name] = append(all["helm: "+v.name], decode(t, v.name+": "+name, files[name])...)
		}
	}
	for _, dir := range []string{"agent", "collector", "example"} {
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path.Join(basesDir, dir))
		if err != nil {
			t.Fatalf("kustomize %s: %v", dir, err)
		}
		text, err := built.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		all["kustomize: "+dir] = decode(t, "kustomize "+dir, string(text))
	}
	return all
}

func TestEveryDocumentIsWhatKubernetesTakes(t *testing.T) {
	kinds := map[string]bool{}
	for _, objects := range everything(t) {
		for _, o := range objects {
			kinds[o.kind] = true
		}
	}
	for _, want := range []string{"DaemonSet", "StatefulSet", "ConfigMap", "ClusterRole", "Namespace", "NetworkPolicy", "PriorityClass", "Pod"} {
		if !kinds[want] {
			t.Errorf("no %s was rendered: a variant is missing", want)
		}
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		values values
		want   string
	}{
		"nowhere to send to":     {values{}, "otlp.endpoint"},
		"collector to nowhere":   {values{"mode": "collector"}, "collector.endpoint"},
		"unknown key":            {values{"otlp": values{"endpont": "x"}}, "endpont"},
		"unknown mode":           {values{"mode": "sidecar"}, "mode"},
		"privileged by the back": {values{"capabilities": []any{"ALL"}}, "capabilities"},
		"prefix":                 {values{"capabilities": []any{"CAP_SYS_ADMIN"}}, "capabilities"},
		"no tokens":              {values{"tokens": []any{}}, "tokens"},
		"relative directory":     {values{"node": values{"stateDir": "lib"}}, "stateDir"},
		"second place":           {values{"otlp": values{"endpoint": "http://x"}, "config": values{"stateDir": "/x"}}, "config.stateDir has a value of its own"},
		"priority of the system": {values{"priorityClass": values{"value": 2000000000}}, "value"},
	} {
		if _, err := render(t, tt.values); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want something with %q", name, err, tt.want)
		}
	}
}
