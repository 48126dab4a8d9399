//go:build k8s

package k8s

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/collector"
	"github.com/beesting-otel/beesting/test/k8s/cluster"
)

// target is a container with a token in it.
type target struct {
	pod, uid, container, id string
	owner                   map[string]string // what it belongs to, as attributes
}

// targetOf looks a pod of the shop up.
func (s *suite) targetOf(t *testing.T, pod string, owner map[string]string) target {
	t.Helper()
	out := s.kubectl(t, "-n", shop, "get", "pod", pod, "-o", `jsonpath={.metadata.uid} {.spec.containers[0].name} {.status.containerStatuses[0].containerID}`)
	f := strings.Fields(out)
	if len(f) != 3 {
		t.Fatalf("pod %s: %q", pod, out)
	}
	return target{pod: pod, uid: f[0], container: f[1], id: strings.TrimPrefix(f[2], "containerd://"), owner: owner}
}

// read has `cat` read a token in a container and holds what the back end gets
// against what was done. It returns what was read.
func (s *suite) read(t *testing.T, to target, path, token string) string {
	t.Helper()
	before := s.accesses(t)
	content := s.kubectl(t, "-n", shop, "exec", to.pod, "-c", to.container, "--", "cat", path)
	s.told(t, before, to, token, "cat "+path)
	return content
}

// readAside is read of the first token without the API server: the runtime runs the
// command.
func (s *suite) readAside(t *testing.T, to target) {
	t.Helper()
	before := s.accesses(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := s.cluster.Node.CRI().Exec(ctx, to.id, "cat", awsPath)
	if err != nil || r.ExitCode != 0 || len(r.Stdout) == 0 {
		t.Fatalf("cat %s in %s: exit code %d, %q, %v", awsPath, to.pod, r.ExitCode, r.Stderr, err)
	}
	s.told(t, before, to, "aws", "cat "+awsPath)
}

// accesses is how many log records the back end has.
func (s *suite) accesses(t *testing.T) int {
	t.Helper()
	logs, err := s.backEnd.Logs()
	if err != nil {
		t.Fatal(err)
	}
	return len(logs)
}

// told waits for the log record and the span of an open, among those that came
// after `before`, and looks at what they say.
func (s *suite) told(t *testing.T, before int, to target, token, command string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var log collector.Log
	var span collector.Span
	err := s.backEnd.Wait(ctx, func(logs []collector.Log, spans []collector.Span) bool {
		for _, l := range logs[before:] {
			if text(l.Origin, l.Attributes, "k8s.pod.uid") != to.uid || text(l.Origin, l.Attributes, "honeytoken.name") != token {
				continue
			}
			for _, sp := range spans {
				if sp.TraceID == l.TraceID && sp.SpanID == l.SpanID {
					log, span = l, sp
					return true
				}
			}
		}
		return false
	})
	if err != nil {
		t.Fatalf("no log record with its span of %q in %s: %v", command, to.pod, err)
	}
	want := map[string]string{
		"k8s.namespace.name": shop, "k8s.pod.name": to.pod, "k8s.pod.uid": to.uid, "k8s.container.name": to.container,
		"k8s.node.name": cluster.NodeName, "container.id": to.id,
	}
	if s.workloads {
		for key, value := range to.owner {
			want[key] = value
		}
	}
	for key, value := range want {
		if got := text(log.Origin, log.Attributes, key); got != value {
			t.Errorf("%s of the log record of %q in %s is %q, want %q", key, command, to.pod, got, value)
		}
		if got := text(span.Origin, span.Attributes, key); got != value {
			t.Errorf("%s of the span of %q in %s is %q, want %q", key, command, to.pod, got, value)
		}
	}
	if args := fmt.Sprint(log.Attributes["process.command_args"]); !strings.Contains(args, strings.Fields(command)[1]) {
		t.Errorf("the log record of %q has the arguments %s", command, args)
	}
}

func text(o collector.Origin, attributes map[string]any, key string) string {
	for _, m := range []map[string]any{attributes, o.Resource} {
		if s, ok := m[key].(string); ok {
			return s
		}
	}
	return ""
}

// silent makes sure that nothing came after `before`.
func (s *suite) silent(t *testing.T, before int, what string) {
	t.Helper()
	time.Sleep(2 * time.Second)
	logs, err := s.backEnd.Logs()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range logs[before:] {
		t.Errorf("%s is an access: %v", what, l.Body)
	}
}
