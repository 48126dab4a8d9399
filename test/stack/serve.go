package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/ctd"
)

// step tells what happens next; up shows it.
func step(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// serve brings everything up, plays the incident, says where it is, and stays until
// it is told to end. What it has started it takes down.
func serve(ctx context.Context, l layout) (err error) {
	if _, err := ctd.Sweep("/tmp"); err != nil {
		return fmt.Errorf("remains of an earlier run: %w", err)
	}
	s := state{PID: os.Getpid(), Loki: web(lokiPort), Prometheus: web(prometheusPort), Jaeger: web(jaegerPort), OTLP: web(otlpHTTPPort)}
	b := &backends{}
	b.note = func() error {
		s.Children = b.children()
		return l.write(s)
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	step("starting Loki, Prometheus, Jaeger and the Collector")
	if err := b.start(ctx, l); err != nil {
		return err
	}
	step("starting containerd")
	node, err := ctd.Start(ctx, ctd.Bundle(os.Getenv("STACK_BUNDLE")), "/tmp")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, node.Close()) }()
	agent, err := startAgent(ctx, l, node)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.Stop()) }()
	s.Children[agent.PID()] = l.bin("beesting")
	if err := l.write(s); err != nil {
		return err
	}
	status, err := agent.Status(ctx)
	if err != nil {
		return err
	}
	step("the agent is connected to containerd, its sensor attached as %s", status.Mode)
	s.Mode, s.Begin = status.Mode, time.Now()
	if err := play(ctx, node, agent, &s); err != nil {
		return fmt.Errorf("incident: %w\n%s", err, agent.LogTail())
	}
	if err := arrived(ctx, s); err != nil {
		return err
	}
	s.End, s.Ready = time.Now(), true
	if err := l.write(s); err != nil {
		return err
	}
	<-ctx.Done()
	step("going down")
	return nil
}

// tokens are all that an operator would write. One is a file of the container's own
// (an OCI hook writes it), so that it can be changed; the others are mounted
// read-only.
const tokens = `tokens:
  - name: aws-prod
    kind: aws-credentials
  - name: db-password
    path: /etc/app/db-password
    strategy: hook
    content: |
      hunter2
match:
  namespaces: [shop, bank]
`

func startAgent(ctx context.Context, l layout, node *ctd.Node) (*agentproc.Agent, error) {
	step("starting beesting agent")
	return agentproc.Start(ctx, agentproc.Config{
		Binary:    l.bin("beesting"),
		Dir:       filepath.Join(node.Dir(), "agent"),
		NRISocket: node.NRISocket(),
		HTTP:      at(agentPort),
		// An agent's programs outlive it by default; here nothing is to stay.
		Tokens: "sensor: {pin: \"\"}\n" + tokens,
		// What it writes to its standard output is what the back ends must have.
		Output: []string{"json", "otlp"},
		Env: []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + web(otlpHTTPPort), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
			"OTEL_METRIC_EXPORT_INTERVAL=5000", "OTEL_SERVICE_NAME=beesting", "OTEL_RESOURCE_ATTRIBUTES=k8s.cluster.name=trial",
		},
	})
}
