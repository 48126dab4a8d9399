package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/cri"
	"github.com/beesting-otel/beesting/test/runtime/ctd"
	"github.com/beesting-otel/beesting/test/runtime/image"
)

const (
	awsPath = "/root/.aws/credentials"
	dbPath  = "/etc/app/db-password"

	accessTimeout  = 30 * time.Second
	arrivalTimeout = 90 * time.Second
)

// play is a break-in: somebody gets a shell in the pod shop/web, looks around, reads a
// token, copies it and writes to another one. Then a pod that shares the node's
// process ids reaches for the first pod's token.
func play(ctx context.Context, node *ctd.Node, agent *agentproc.Agent, s *state) error {
	in := intruder{node: node, agent: agent}
	web, err := in.pod(ctx, cri.Pod{Name: "web-7d4b9", Namespace: "shop", UID: "0c7f1a52-web", Labels: labels("web")})
	if err != nil {
		return err
	}
	if _, err := in.pod(ctx, cri.Pod{Name: "ledger-0", Namespace: "bank", UID: "51b0e9d4-ledger", Labels: labels("ledger")}); err != nil {
		return err
	}
	step("a shell in shop/web-7d4b9 looks around, reads a token, copies it, and writes to another one")
	if err := in.exec(ctx, web, strings.Join([]string{
		"id", "ls -la /root/.aws", "sleep 1", "stat " + awsPath, "sleep 1", "cat " + awsPath, "sleep 2",
		"/bin/busybox cp " + awsPath + " /tmp/.x", "sleep 1", "grep -c . " + dbPath, "sleep 1", "echo pwned >> " + dbPath,
	}, "; ")); err != nil {
		return err
	}
	pid, err := in.process("0c7f1a52-web", web)
	if err != nil {
		return err
	}
	// Later than the others by some exports of metrics, so that a histogram has grown.
	debug, err := in.pod(ctx, cri.Pod{Name: "debug-x2x", Namespace: "tools", UID: "9e0d51b4-debug", Labels: labels("debug"), HostPID: true})
	if err != nil {
		return err
	}
	step("tools/debug-x2x, which shares the node's process ids, reaches for the same token")
	if err := in.exec(ctx, debug, "cat /proc/"+pid+"/root"+awsPath); err != nil {
		return err
	}
	return in.tell(ctx, s)
}

func labels(app string) map[string]string { return map[string]string{"app.kubernetes.io/name": app} }

type intruder struct {
	node  *ctd.Node
	agent *agentproc.Agent
}

func (in intruder) pod(ctx context.Context, p cri.Pod) (string, error) {
	rt := in.node.CRI()
	sandbox, err := rt.RunPod(ctx, p)
	if err != nil {
		return "", err
	}
	id, err := rt.CreateContainer(ctx, sandbox, p, cri.Container{
		Name: p.Labels["app.kubernetes.io/name"], Image: image.Busybox, Command: []string{"sleep", "36000"},
	})
	if err != nil {
		return "", err
	}
	if err := rt.StartContainer(ctx, id); err != nil {
		return "", err
	}
	step("pod %s/%s runs", p.Namespace, p.Name)
	return id, nil
}

func (in intruder) exec(ctx context.Context, container, script string) error {
	r, err := in.node.CRI().Exec(ctx, container, "sh", "-c", script)
	if err != nil {
		return err
	}
	if r.ExitCode != 0 {
		return fmt.Errorf("%q: exit code %d: %s", script, r.ExitCode, r.Stderr)
	}
	return nil
}

// process is the container's first process, as the host numbers it.
func (in intruder) process(podUID, container string) (string, error) {
	dir, err := in.node.CgroupDir(podUID, container)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return "", err
	}
	pids := strings.Fields(string(b))
	if len(pids) == 0 {
		return "", errors.New("the container has no process")
	}
	return pids[0], nil
}

// tell waits until the agent has told of everything that every sensor sees, and
// notes what it told.
func (in intruder) tell(ctx context.Context, s *state) error {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	for _, want := range []struct {
		what string
		keep func(agentproc.Record) bool
	}{
		{"the read", func(r agentproc.Record) bool {
			return r.Text("honeytoken.process.comm") == "cat" && r.Text("honeytoken.actor.class") == "workload"
		}},
		{"the copy", func(r agentproc.Record) bool { return slices.Contains(r.Texts("process.command_args"), "cp") }},
		{"the write", func(r agentproc.Record) bool {
			return r.SeverityNumber == 19 && r.Text("honeytoken.name") == "db-password"
		}},
		{"the neighbour", func(r agentproc.Record) bool { return r.Text("honeytoken.actor.class") == "other_container" }},
	} {
		if _, err := in.agent.Wait(ctx, 1, want.keep); err != nil {
			return fmt.Errorf("%s: %w", want.what, err)
		}
	}
	time.Sleep(2 * time.Second) // repeats that are told last
	all, err := in.agent.All(func(agentproc.Record) bool { return true })
	if err != nil {
		return err
	}
	s.Incidents = map[string]string{}
	for _, r := range all {
		count, _ := r.Int("honeytoken.access.count")
		s.Records = append(s.Records, record{
			UID: r.Text("log.record.uid"), TraceID: r.TraceID, SpanID: r.SpanID, Severity: r.SeverityNumber, Kind: r.Text("honeytoken.access.kind"),
			Token: r.Text("honeytoken.name"), Class: r.Text("honeytoken.actor.class"), Count: count, Body: r.Body,
		})
		incident := "shell"
		if r.Text("honeytoken.actor.class") != "workload" {
			incident = "neighbour"
		}
		s.Incidents[incident] = r.TraceID
	}
	return nil
}

// arrived waits until each record and each span is at its back end.
func arrived(ctx context.Context, s state) error {
	step("waiting until %d accesses are in Loki and Jaeger", len(s.Records))
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	for {
		missing, err := missing(ctx, s)
		if err == nil && len(missing) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("accesses at the back ends: %w: missing %q, %w", ctx.Err(), missing, err)
		case <-time.After(time.Second):
		}
	}
}

// missing is what no back end has yet: uids of log records, ids of spans.
func missing(ctx context.Context, s state) ([]string, error) {
	query := url.Values{"query": {`{service_name=~".+"} | honeytoken_event="honeytoken.access"`}, "limit": {"1000"},
		"start": {fmt.Sprint(s.Begin.Add(-time.Minute).UnixNano())}, "end": {fmt.Sprint(time.Now().UnixNano())}}
	found, err := get(ctx, s.Loki+"/loki/api/v1/query_range?"+query.Encode())
	if err != nil {
		return nil, err
	}
	for _, trace := range s.Incidents {
		body, err := get(ctx, s.Jaeger+"/api/traces/"+trace)
		if err != nil {
			return []string{trace}, nil //nolint:nilerr // not found is an error there: it isn't there yet
		}
		found = append(found, body...)
	}
	var missing []string
	for _, r := range s.Records {
		for _, id := range []string{r.UID, r.SpanID} {
			if !strings.Contains(string(found), id) {
				missing = append(missing, id)
			}
		}
	}
	return missing, nil
}
