package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/beesting-otel/beesting/test/runtime/collectorproc"
)

// backends are the three stores and the Collector in front of them.
type backends struct {
	processes []*process
	collector *collectorproc.Collector
	// note is called when one more has been started.
	note func() error
}

// start starts all of them and waits until they take data. What has been started
// when it fails is there to be stopped.
func (b *backends) start(ctx context.Context, l layout) error {
	for _, start := range []func(layout) (*process, error){startLoki, startPrometheus, startJaeger} {
		p, err := start(l)
		if err != nil {
			return err
		}
		b.processes = append(b.processes, p)
		if err := b.note(); err != nil {
			return err
		}
	}
	var err error
	if b.collector, err = startCollector(ctx, l); err != nil {
		return err
	}
	if err := b.note(); err != nil {
		return err
	}
	for i, url := range []string{web(lokiPort) + "/ready", web(prometheusPort) + "/-/ready", web(jaegerPort) + "/api/services"} {
		step("waiting for %s", b.processes[i].name)
		if err := b.processes[i].ready(ctx, url); err != nil {
			return err
		}
	}
	return nil
}

// stop ends them, the Collector first: it hands on what it has.
func (b *backends) stop() error {
	var errs []error
	if b.collector != nil {
		errs = append(errs, b.collector.Stop())
	}
	for _, p := range b.processes {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}

// children are the processes, with the programs that they run.
func (b *backends) children() map[int]string {
	all := map[int]string{}
	if b.collector != nil {
		all[b.collector.PID()] = os.Getenv("STACK_COLLECTOR")
	}
	for _, p := range b.processes {
		all[p.cmd.Process.Pid] = p.cmd.Path
	}
	return all
}

// startLoki takes the configuration that users get, and the rules.
func startLoki(l layout) (*process, error) {
	dir := l.run("loki")
	rules := filepath.Join(dir, "rules", "fake") // the tenant of a Loki without tenants
	if err := copyFile(filepath.Join(rules, "honeytoken.yaml"), l.tree("dashboards", "alerts", "loki.yaml")); err != nil {
		return nil, err
	}
	return spawn(dir, "loki", os.Getenv("STACK_LOKI"), []string{
		"LOKI_ADDRESS=" + host, "LOKI_PORT=" + lokiPort, "LOKI_GRPC_PORT=" + lokiGRPCPort, "LOKI_DIR=" + dir, "LOKI_RULES=" + filepath.Dir(rules),
	}, "-config.file="+l.tree("deploy", "otel", "stack", "loki.yaml"), "-config.expand-env=true")
}

// startPrometheus takes the configuration that users get, with other addresses:
// Prometheus reads no environment.
func startPrometheus(l layout) (*process, error) {
	dir := l.run("prometheus")
	text, err := os.ReadFile(l.tree("deploy", "otel", "stack", "prometheus.yaml"))
	if err != nil {
		return nil, err
	}
	config := string(text)
	for _, r := range [][2]string{
		{`"otelcol:8888"`, `"` + at(collectorPort) + `"`},
		{"targets: []", `targets: ["` + at(agentPort) + `"]`},
		{"/etc/prometheus/rules/*.yaml", l.tree("dashboards", "alerts", "prometheus.yaml")},
		{"scrape_interval: 15s", "scrape_interval: 5s"},
	} {
		if strings.Count(config, r[0]) != 1 {
			return nil, fmt.Errorf("prometheus.yaml has no %s any more, or has it twice", r[0])
		}
		config = strings.Replace(config, r[0], r[1], 1)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "prometheus.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return nil, err
	}
	return spawn(dir, "prometheus", os.Getenv("STACK_PROMETHEUS"), nil, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+at(prometheusPort), "--web.enable-otlp-receiver", "--log.level=warn")
}

func startJaeger(l layout) (*process, error) {
	return spawn(l.run("jaeger"), "jaeger", os.Getenv("STACK_JAEGER"), []string{
		"JAEGER_QUERY=" + at(jaegerPort), "JAEGER_GRPC=" + at(jaegerGRPCPort), "JAEGER_OTLP=" + at(jaegerOTLPPort),
	}, "--config", l.tree("test", "stack", "jaeger.yaml"))
}

// metricsOf is on top of gateway.yaml, which leaves the Collector's own metrics on
// their usual port.
const metricsOf = `service:
  telemetry:
    metrics: {readers: [{pull: {exporter: {prometheus: {host: %s, port: %s}}}}]}
`

// startCollector takes the gateway's configuration that users get; Jaeger takes
// traces where it has Tempo.
func startCollector(ctx context.Context, l layout) (*collectorproc.Collector, error) {
	dir := l.run("collector")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(l.tree("deploy", "otel", "collector", "gateway.yaml"))
	if err != nil {
		return nil, err
	}
	over := filepath.Join(dir, "metrics.yaml")
	if err := os.WriteFile(over, fmt.Appendf(nil, metricsOf, host, collectorPort), 0o644); err != nil {
		return nil, err
	}
	return collectorproc.Start(ctx, collectorproc.Config{
		Binary: os.Getenv("STACK_COLLECTOR"), Dir: dir, Args: []string{"--config", over}, MetricsAddress: at(collectorPort),
		Env: []string{
			"OTLP_GRPC_ENDPOINT=" + at(otlpGRPCPort), "OTLP_HTTP_ENDPOINT=" + at(otlpHTTPPort), "HEALTH_ENDPOINT=" + at(healthPort),
			"STORAGE_DIR=" + filepath.Join(dir, "storage"),
			"LOKI_ENDPOINT=" + web(lokiPort) + "/otlp", "PROMETHEUS_ENDPOINT=" + web(prometheusPort) + "/api/v1/otlp",
			"TEMPO_ENDPOINT=" + at(jaegerOTLPPort), "TEMPO_INSECURE=true",
		},
	}, string(text))
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o644)
}
