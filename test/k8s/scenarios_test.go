//go:build k8s

package k8s

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/k8s/cluster"
)

// workloads are three kinds of owners of pods.
const workloads = `apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {pod-security.kubernetes.io/enforce: baseline}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      automountServiceAccountToken: false
      containers:
        - {name: main, image: beesting.test/busybox:1, command: [sleep, "36000"]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: shop}
spec:
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 0
      automountServiceAccountToken: false
      containers:
        - {name: main, image: beesting.test/busybox:1, command: [sleep, "36000"]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report, namespace: shop}
spec:
  schedule: "0 0 31 2 *" # never: a job is made by hand
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: report}}
        spec:
          restartPolicy: Never
          terminationGracePeriodSeconds: 0
          automountServiceAccountToken: false
          containers:
            - {name: main, image: beesting.test/busybox:1, command: [sleep, "36000"]}
`

// install is what docs/kubernetes.md tells to do.
func (s *suite) install(t *testing.T) {
	s.writeValues(t)
	s.helm(t, "install", "--create-namespace", "--wait", "--timeout", "3m", "--set", "podSecurity.createNamespace=false")
	s.healthy(t)
	s.helm(t, "test", "--timeout", "3m")
	help, err := s.ask(t, "config", "example")
	if err != nil {
		t.Fatal(err)
	}
	s.workloads = strings.Contains(help, "kubernetes:")
	s.connected(t)
	status, err := s.ask(t, "status")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s, workloads' names: %t", strings.SplitN(status, "\n", 2)[0], s.workloads)
}

// connected waits for the agent's connection to the API server: it is as ready
// without one, and accesses are told without what would come by it.
func (s *suite) connected(t *testing.T) {
	t.Helper()
	if !s.workloads {
		return
	}
	eventually(t, "the agent to be connected to the API server", func() error {
		out, err := s.ask(t, "status")
		if err == nil && !strings.Contains(out, "connected to https://") {
			err = errors.New(out)
		}
		return err
	})
}

// web and db are pods that all scenarios use.
func (s *suite) web(t *testing.T) target {
	t.Helper()
	return s.targetOf(t, s.pod(t, shop, "app=web"), map[string]string{"k8s.deployment.name": "web"})
}

func (s *suite) db(t *testing.T) target {
	t.Helper()
	return s.targetOf(t, s.pod(t, shop, "app=db"), map[string]string{"k8s.statefulset.name": "db"})
}

func (s *suite) threeWorkloads(t *testing.T) {
	s.apply(t, workloads)
	s.kubectl(t, "-n", shop, "create", "job", "report-now", "--from=cronjob/report")
	report := s.targetOf(t, s.pod(t, shop, "app=report"), map[string]string{"k8s.job.name": "report-now", "k8s.cronjob.name": "report"})
	contents := map[string]bool{}
	for _, to := range []target{s.web(t), s.db(t), report} {
		content := s.read(t, to, awsPath, "aws")
		if !strings.Contains(content, "aws_access_key_id") {
			t.Errorf("%s reads %q", to.pod, content)
		}
		contents[content] = true
	}
	if len(contents) != 3 {
		t.Errorf("%d different tokens in three pods", len(contents))
	}
	// The agent's own namespace isn't matched, and the kubelet's work on all of this is no access.
	s.silent(t, s.accesses(t), "nothing")
}

// configMap changes the tokens of pods that run.
func (s *suite) configMap(t *testing.T) {
	web := s.web(t)
	agent := s.agent(t)
	more := `tokens=[{"name":"aws","kind":"aws-credentials"},{"name":"env","kind":"env-file","path":"` + envPath + `"}]`
	s.helm(t, "upgrade", "--set-json", more)
	begin := time.Now()
	eventually(t, "a new token in a running pod", func() error {
		_, err := s.cluster.Kubectl(t.Context(), "-n", shop, "exec", web.pod, "--", "stat", envPath)
		return err
	})
	t.Logf("a new token was there %.0f s after helm upgrade", time.Since(begin).Seconds())
	s.read(t, web, envPath, "env")
	s.helm(t, "upgrade")
	eventually(t, "the token to go", func() error {
		out, err := s.cluster.Kubectl(t.Context(), "-n", shop, "exec", web.pod, "--", "cat", envPath)
		if err == nil && out != "" {
			return fmt.Errorf("it has %d bytes", len(out))
		}
		return nil
	})
	s.read(t, s.web(t), awsPath, "aws")
	if now := s.agent(t); now != agent {
		t.Errorf("the agent's pod was %s and is %s: a changed ConfigMap is no roll-out", agent, now)
	}
	// A configuration with a mistake is refused as a whole, and the probe says so.
	if _, err := s.tryHelm(t, "upgrade", "--set-json", `tokens=[{"name":"aws","kind":"aws-credentials","strategy":"magic"}]`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the probe to tell of a mistake", func() error {
		if out, err := s.ask(t, "status", "--check"); err == nil {
			return errors.New(out)
		}
		return nil
	})
	s.read(t, s.web(t), awsPath, "aws")
	s.helm(t, "upgrade")
	s.healthy(t)
}

// drain: a DaemonSet stays on a node that is drained, and what comes back gets
// tokens.
func (s *suite) drain(t *testing.T) {
	agent, web := s.agent(t), s.web(t)
	s.kubectl(t, "drain", "node-1", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout", "3m")
	eventually(t, "the drained pods' tokens to be forgotten", func() error {
		out, err := s.ask(t, "status")
		if err == nil && strings.Contains(out, shop+"/"+web.pod) {
			err = fmt.Errorf("the agent still has %s", web.pod)
		}
		return err
	})
	if now := s.agent(t); now != agent {
		t.Errorf("the agent's pod was %s and is %s", agent, now)
	}
	s.kubectl(t, "uncordon", "node-1")
	for _, to := range []target{s.web(t), s.db(t)} {
		if to.uid == web.uid {
			t.Errorf("%s was not drained", to.pod)
		}
		s.read(t, to, awsPath, "aws")
	}
}

func (s *suite) kubeletRestart(t *testing.T) {
	web, agent := s.web(t), s.agent(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.cluster.RestartKubelet(ctx); err != nil {
		t.Fatal(err)
	}
	if now := s.web(t); now.id != web.id {
		t.Errorf("the container was %s and is %s", web.id, now.id)
	}
	s.healthy(t)
	s.connected(t)
	s.read(t, web, awsPath, "aws")
	if now := s.agent(t); now != agent {
		t.Errorf("the agent's pod was %s and is %s", agent, now)
	}
}

func (s *suite) containerdRestart(t *testing.T) {
	web := s.web(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.cluster.Node.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.cluster.NodeReady(ctx); err != nil {
		t.Fatal(err)
	}
	s.healthy(t)
	s.connected(t)
	s.read(t, web, awsPath, "aws")
	// The agent has to be back on the NRI socket for a new container's tokens.
	s.kubectl(t, "-n", shop, "delete", "pod", web.pod, "--wait")
	s.read(t, s.web(t), awsPath, "aws")
}

// agentKilled: the kubelet starts the container again, and then deletes the pod.
func (s *suite) agentKilled(t *testing.T) {
	web, agent := s.web(t), s.agent(t)
	killAgent(t)
	eventually(t, "the agent's container to be started again", func() error {
		out, err := s.cluster.Kubectl(t.Context(), "-n", namespace, "get", "pod", agent, "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}")
		if err == nil && out != "1 true" {
			err = errors.New(out)
		}
		return err
	})
	s.healthy(t)
	s.connected(t)
	s.read(t, web, awsPath, "aws")
	s.kubectl(t, "-n", namespace, "delete", "pod", agent, "--grace-period=0", "--force")
	s.kubectl(t, "-n", namespace, "rollout", "status", "ds/"+release, "--timeout", "3m")
	s.healthy(t)
	s.connected(t)
	s.read(t, web, awsPath, "aws")
}

// rollingUpdate: one agent goes, and then the next comes.
func (s *suite) rollingUpdate(t *testing.T) {
	web, agent := s.web(t), s.agent(t)
	s.helm(t, "upgrade", "--set", "podAnnotations.round=two", "--wait", "--timeout", "3m")
	if now := s.agent(t); now == agent {
		t.Error("the agent's pod is the old one")
	}
	s.healthy(t)
	s.connected(t)
	s.read(t, web, awsPath, "aws")
}

// outage is how long the API server is away.
const outage = 2 * time.Minute

// apiServerAway: planting, watching and telling need no API server.
func (s *suite) apiServerAway(t *testing.T) {
	web, db, agent := s.web(t), s.db(t), s.agent(t)
	if err := s.cluster.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s.readAside(t, web)
	// A container that the kubelet starts again by itself gets its tokens.
	killInit(t, db)
	again := s.successor(t, db)
	s.readAside(t, again)
	// So it is with an agent that starts in the middle of it.
	killAgent(t)
	time.Sleep(5 * time.Second)
	eventually(t, "the next agent to watch", func() error { return s.agentWatches() })
	// What the one before knew of owners, this one can't ask for, and says so.
	unknown := map[string]string{"honeytoken.k8s.unresolved": "away"}
	again.owner = unknown
	s.readAside(t, again)
	time.Sleep(outage - time.Since(begin))
	nameless := web
	nameless.owner = unknown
	s.readAside(t, nameless)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.cluster.StartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("the API server was away for %.0f s", time.Since(begin).Seconds())
	s.healthy(t)
	s.connected(t)
	s.read(t, s.web(t), awsPath, "aws")
	if now := s.agent(t); now != agent {
		t.Errorf("the agent's pod was %s and is %s", agent, now)
	}
}

// collector is the chart with the other form of the agent, whose Collector adds what
// the API server knows of a pod.
func (s *suite) collector(t *testing.T) {
	name, tag, _ := strings.Cut(need(t, "receiver-image", receiverName), ":")
	s.helm(t, "install", "--wait", "--timeout", "3m", "--set", "mode=collector,collector.insecure=true",
		"--set", "collector.endpoint="+cluster.HostIP+":4317",
		"--set", "collector.image.repository="+name+",collector.image.tag="+tag+",collector.image.pullPolicy=Never",
		"--set-json", `collector.config={"receivers":{"honeytoken":{"tokens":[{"name":"aws","kind":"aws-credentials"}],"match":{"namespaces":["`+shop+`"]}}}}`)
	web := s.web(t)
	eventually(t, "a token in a container that was there before", func() error {
		_, err := s.cluster.Kubectl(t.Context(), "-n", shop, "exec", web.pod, "--", "/bin/busybox", "test", "-s", awsPath)
		return err
	})
	time.Sleep(5 * time.Second) // until the Collector has asked for its node's pods, accesses go without
	s.workloads = true
	s.read(t, web, awsPath, "aws")
	s.helm(t, "uninstall", "--wait", "--timeout", "3m")
}

// kustomize has the API server look at the bases, as it would when they are applied.
func (s *suite) kustomize(t *testing.T) {
	for _, dir := range []string{"agent", "collector", "example"} {
		out := s.kubectl(t, "apply", "-k", filepath.Join(need(t, "chart", chartDir), "../../kustomize", dir), "--dry-run=server", "--validate=strict", "-o", "name")
		if !strings.Contains(out, "daemonset.apps/beesting") {
			t.Errorf("base %s: %s", dir, out)
		}
	}
}

// uninstall leaves no agent, and nothing that keeps a container from starting.
func (s *suite) uninstall(t *testing.T) {
	s.helm(t, "uninstall", "--wait", "--timeout", "3m")
	before := s.accesses(t)
	s.kubectl(t, "-n", shop, "delete", "pod", "-l", "app=web", "--wait")
	web := s.web(t)
	if out, err := s.cluster.Kubectl(t.Context(), "-n", shop, "exec", web.pod, "--", "cat", awsPath); err == nil {
		t.Errorf("a pod that started after the end of the agent reads %q", out)
	}
	s.silent(t, before, "what happens without an agent")
	out := s.kubectl(t, "get", "clusterrole,clusterrolebinding,priorityclass", "-l", "app.kubernetes.io/instance="+release, "-o", "name")
	if out != "" {
		t.Errorf("still there: %s", out)
	}
}
