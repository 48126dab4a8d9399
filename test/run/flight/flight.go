package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/cri"
	"github.com/beesting-otel/beesting/test/runtime/ctd"
	"github.com/beesting-otel/beesting/test/runtime/image"
)

// accessTimeout is how long an access may take from the touch to the screen.
const accessTimeout = 30 * time.Second

const tokenPath = "/root/.aws/credentials"

// config is all that an operator would write.
const config = `tokens:
  - name: aws-credentials
    kind: aws-credentials
    path: ` + tokenPath + `
    content: |
      [default]
      aws_access_key_id = AKIAIOSFODNN7EXAMPLE
      aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
match:
  namespaces: [shop, bank]
`

type flight struct {
	node   *ctd.Node
	binary string
	otlp   string
}

func (f *flight) fly(ctx context.Context) (err error) {
	name, version, err := f.node.CRI().Version(ctx)
	if err != nil {
		return err
	}
	// A build from the module proxy knows its version and adds "+unknown".
	version, _, _ = strings.Cut(version, "+")
	step("%s %s is up; starting beesting agent", name, version)
	seen := &screen{}
	agent, err := agentproc.Start(ctx, f.agentConfig(seen))
	if err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped {
			err = errors.Join(err, agent.Stop())
		}
	}()
	status, err := agent.Status(ctx)
	if err != nil {
		return err
	}
	step("agent is connected to containerd, sensor attached as %s", status.Mode)

	web, err := f.pod(ctx, cri.Pod{
		Name: "web-7d4b9", Namespace: "shop", UID: "0c7f1a52-web", Labels: map[string]string{"app": "web"},
	})
	if err != nil {
		return err
	}
	_, err = f.pod(ctx, cri.Pod{
		Name: "ledger-0", Namespace: "bank", UID: "51b0e9d4-ledger", Labels: map[string]string{"app": "ledger"},
	})
	if err != nil {
		return err
	}
	if err := f.read(ctx, web); err != nil {
		return err
	}
	err = seen.wait(ctx, "aws-credentials", "shop/web-7d4b9", "cat")
	fmt.Println()
	if err != nil {
		return fmt.Errorf("the access was not seen: %w\n%s", err, agent.LogTail())
	}
	stopped = true
	return f.drain(agent)
}

func (f *flight) agentConfig(out io.Writer) agentproc.Config {
	cfg := agentproc.Config{
		Binary:    f.binary,
		Dir:       filepath.Join(f.node.Dir(), "agent"),
		NRISocket: f.node.NRISocket(),
		// An agent's programs outlive it by default; here nothing is to stay.
		Tokens: "sensor: {pin: \"\"}\n" + config,
		Output: []string{"text"},
		Text:   out,
	}
	if f.otlp != "" {
		cfg.Output = append(cfg.Output, "otlp")
	}
	return cfg
}

// pod starts a pod with one busybox container and returns the container's id.
func (f *flight) pod(ctx context.Context, p cri.Pod) (string, error) {
	rt := f.node.CRI()
	sandbox, err := rt.RunPod(ctx, p)
	if err != nil {
		return "", err
	}
	id, err := rt.CreateContainer(ctx, sandbox, p, cri.Container{
		Name: p.Labels["app"], Image: image.Busybox, Command: []string{"sleep", "3600"},
	})
	if err != nil {
		return "", err
	}
	if err := rt.StartContainer(ctx, id); err != nil {
		return "", err
	}
	step("pod %s/%s runs; token planted at %s", p.Namespace, p.Name, tokenPath)
	return id, nil
}

// read does what an intruder would.
func (f *flight) read(ctx context.Context, container string) error {
	step("in pod shop/web-7d4b9: cat %s", tokenPath)
	r, err := f.node.CRI().Exec(ctx, container, "cat", tokenPath)
	if err != nil {
		return err
	}
	if r.ExitCode != 0 || !strings.Contains(string(r.Stdout), "AKIAIOSFODNN7EXAMPLE") {
		return fmt.Errorf("the token could not be read: exit code %d, %q, %q", r.ExitCode, r.Stdout, r.Stderr)
	}
	return nil
}

// drain ends the agent, which delivers what it still holds.
func (f *flight) drain(agent *agentproc.Agent) error {
	if f.otlp == "" {
		return agent.Stop()
	}
	step("waiting until %s has taken it", f.otlp)
	if err := agent.Stop(); err != nil {
		return fmt.Errorf("delivery to %s: %w", f.otlp, err)
	}
	step("log record and span delivered to %s", f.otlp)
	return nil
}

// screen shows the agent's output and remembers it.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buf.Len() == 0 {
		fmt.Println()
	}
	s.buf.Write(b)
	return os.Stdout.Write(b)
}

// wait waits until one stretch of output has had all words.
func (s *screen) wait(ctx context.Context, words ...string) error {
	deadline := time.Now().Add(accessTimeout)
	for {
		missing := s.missing(words)
		if missing == "" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v the agent has said nothing of %q", accessTimeout, missing)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *screen) missing(words []string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range words {
		if !strings.Contains(s.buf.String(), w) {
			return w
		}
	}
	return ""
}
