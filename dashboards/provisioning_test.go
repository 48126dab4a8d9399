package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const stackDir = "../deploy/otel/stack"

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// The compose file can't be run here: what it mounts is there at least, and its ports
// are on loopback.
func TestCompose(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Image          string
			Volumes, Ports []string
		}
		Volumes map[string]any
	}
	readYAML(t, filepath.Join(stackDir, "compose.yaml"), &file)
	mounted := map[string]bool{}
	for name, s := range file.Services {
		if !strings.Contains(s.Image, ":${") {
			t.Errorf("%s: the image %s has no version, or one that can't be chosen", name, s.Image)
		}
		for _, v := range s.Volumes {
			from, to, _ := strings.Cut(v, ":")
			mounted[strings.TrimSuffix(to, ":ro")] = true
			if _, named := file.Volumes[from]; named {
				continue
			}
			if _, err := os.Stat(filepath.Join(stackDir, from)); err != nil {
				t.Errorf("%s mounts %v", name, err)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s listens on %s", name, p)
			}
		}
	}
	for _, b := range []board{overview(), incident(tempo), fleet()} {
		if !mounted["/etc/grafana/dashboards/"+b.file] {
			t.Errorf("%s is not given to Grafana", b.file)
		}
	}
}

// Uids lead somewhere: those of the data sources' links to each other, and those of the
// alert rules.
func TestDataSources(t *testing.T) {
	var file struct {
		Datasources []struct {
			UID      string
			Type     string
			JSONData struct {
				DerivedFields  []map[string]string `yaml:"derivedFields"`
				TracesToLogsV2 struct {
					DatasourceUID string `yaml:"datasourceUid"`
					Query         string
				} `yaml:"tracesToLogsV2"`
				TracesToMetrics struct {
					DatasourceUID string `yaml:"datasourceUid"`
				} `yaml:"tracesToMetrics"`
				ExemplarTraceIDDestinations []map[string]string `yaml:"exemplarTraceIdDestinations"`
			} `yaml:"jsonData"`
		}
	}
	readYAML(t, filepath.Join(stackDir, "grafana/provisioning/datasources/datasources.yaml"), &file)
	types, wanted := map[string]string{}, map[string]string{}
	for _, d := range file.Datasources {
		types[d.UID] = d.Type
		for _, f := range append(d.JSONData.DerivedFields, d.JSONData.ExemplarTraceIDDestinations...) {
			if uid := f["datasourceUid"]; uid != "" {
				wanted[uid] = "tempo"
			} else if !strings.HasPrefix(f["url"], "/d/"+incidentUID+"?var-trace=") {
				t.Errorf("%s leads to %q", f["name"], f["url"])
			}
		}
		if d.Type == "tempo" {
			wanted[d.JSONData.TracesToLogsV2.DatasourceUID], wanted[d.JSONData.TracesToMetrics.DatasourceUID] = "loki", "prometheus"
			if !strings.Contains(d.JSONData.TracesToLogsV2.Query, "trace_id=") {
				t.Error("spans don't lead to the records of their trace")
			}
		}
	}
	var alerts grafanaFile
	readYAML(t, "alerts/grafana.yaml", &alerts)
	n := 0
	for _, g := range alerts.Groups {
		for _, r := range g.Rules {
			n++
			for _, q := range r.Data {
				if q.DatasourceUID != "__expr__" {
					wanted[q.DatasourceUID] = strings.TrimPrefix(q.DatasourceUID, "honeytoken-")
				}
			}
			if len(r.UID) > 40 {
				t.Errorf("the uid %s is too long for Grafana", r.UID)
			}
		}
	}
	if n != len(rules()) || len(wanted) != 3 {
		t.Errorf("%d rules for Grafana of %d, data sources %v", n, len(rules()), wanted)
	}
	for uid, kind := range wanted {
		if types[uid] != kind {
			t.Errorf("the data source %q is a %q, want a %s", uid, types[uid], kind)
		}
	}
}
