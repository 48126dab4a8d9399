// Package cluster runs a Kubernetes cluster of one node out of a directory: etcd,
// API server, controller manager, scheduler and kubelet, all real, with a private
// containerd. It needs root and a network namespace of its own, so that it can have
// every port and address that a cluster has; what it starts it takes down again.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/ctd"
)

// Addresses in the cluster's network namespace.
const (
	// HostIP is the node's: the bridge that pods are on, and their gateway.
	HostIP = "10.88.0.1"
	// serviceIP is the API server's in the cluster. Nobody translates addresses here:
	// the node has it as its own, and the API server listens on its port.
	serviceIP = "10.96.0.1"
	podNet    = "10.88.0.0/24"
	// NodeName is what the node is called.
	NodeName = "node-1"
)

// Options say what a cluster is made of.
type Options struct {
	Binaries string // the directory of etcd, kube-apiserver and so on
	Bundle   ctd.Bundle
	CNI      string // the directory of the CNI plugins
	Images   []string
	Log      func(string)
}

// Cluster is a running cluster.
type Cluster struct {
	// Node is its containerd.
	Node *ctd.Node
	o    Options
	dir  string
	parts
}

type parts struct {
	etcd, apiserver, controllers, scheduler, kubelet *daemon
}

// Start brings a cluster up. Close must be called, also after an error.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	c := &Cluster{o: o}
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"network", c.network}, {"containerd", c.containerd}, {"files", c.files}, {"control plane", c.controlPlane}, {"kubelet", c.startKubelet},
	} {
		begin := time.Now()
		if err := step.run(ctx); err != nil {
			return c, fmt.Errorf("cluster: %s: %w", step.name, err)
		}
		o.Log(fmt.Sprintf("%s after %.1f s", step.name, time.Since(begin).Seconds()))
	}
	return c, nil
}

// network gives the namespace the node's addresses.
func (c *Cluster) network(ctx context.Context) error {
	for _, args := range []string{
		"link set lo up",
		"addr add " + serviceIP + "/32 dev lo",
		"link add bsk8s0 type bridge",
		"addr add " + HostIP + "/24 dev bsk8s0",
		"link set bsk8s0 up",
	} {
		out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

func (c *Cluster) containerd(ctx context.Context) error {
	node, err := ctd.StartWith(ctx, c.o.Bundle, "/tmp", ctd.CNI{Plugins: c.o.CNI, Config: cniConfig})
	if err != nil {
		return err
	}
	c.Node, c.dir = node, filepath.Join(node.Dir(), "k8s")
	for _, file := range c.o.Images {
		if err := node.Import(ctx, file); err != nil {
			return err
		}
	}
	return os.MkdirAll(c.dir, 0o711)
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// KubeletDir is the kubelet's root directory.
func (c *Cluster) KubeletDir() string { return c.path("kubelet") }

func (c *Cluster) daemon(name string, args ...string) *daemon {
	return &daemon{name: name, path: filepath.Join(c.o.Binaries, name), log: c.path(name + ".log"), args: args}
}

func (c *Cluster) controlPlane(ctx context.Context) error {
	c.etcd = c.daemon("etcd", "--data-dir", c.path("etcd"), "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://127.0.0.1:2379", "--advertise-client-urls", "http://127.0.0.1:2379",
		"--listen-peer-urls", "http://127.0.0.1:2380", "--initial-advertise-peer-urls", "http://127.0.0.1:2380",
		"--initial-cluster", "default=http://127.0.0.1:2380")
	// Not even the administrator may run a privileged pod here.
	c.apiserver = c.daemon("kube-apiserver", "--etcd-servers", "http://127.0.0.1:2379", "--allow-privileged=false",
		"--bind-address", "0.0.0.0", "--secure-port", "443", "--advertise-address", HostIP,
		"--kubelet-preferred-address-types", "InternalIP", "--service-cluster-ip-range", serviceIP+"/24", "--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--token-auth-file", c.path("tokens.csv"), "--client-ca-file", c.path("ca.crt"),
		"--tls-cert-file", c.path("apiserver.crt"), "--tls-private-key-file", c.path("apiserver.key"),
		"--kubelet-client-certificate", c.path("client.crt"), "--kubelet-client-key", c.path("client.key"),
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-signing-key-file", c.path("accounts.key"), "--service-account-key-file", c.path("accounts.key"))
	c.controllers = c.daemon("kube-controller-manager", "--kubeconfig", c.path("kube-controller-manager.conf"), "--leader-elect=false",
		"--bind-address", "127.0.0.1", "--use-service-account-credentials", "--root-ca-file", c.path("ca.crt"),
		"--service-account-private-key-file", c.path("accounts.key"))
	c.scheduler = c.daemon("kube-scheduler", "--kubeconfig", c.path("kube-scheduler.conf"), "--leader-elect=false", "--bind-address", "127.0.0.1")
	for _, d := range []*daemon{c.etcd, c.apiserver, c.controllers, c.scheduler} {
		if err := d.start(); err != nil {
			return err
		}
		if d == c.apiserver {
			if err := c.ready(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// ready waits for the API server.
func (c *Cluster) ready(ctx context.Context) error {
	return c.until(ctx, 3*time.Minute, func() error {
		if err := errors.Join(c.etcd.gone(), c.apiserver.gone()); err != nil {
			return err
		}
		_, err := c.Kubectl(ctx, "get", "--raw", "/readyz")
		return err
	})
}

func (c *Cluster) startKubelet(ctx context.Context) error {
	c.kubelet = c.daemon("kubelet", "--config", c.path("kubelet.yaml"), "--kubeconfig", c.path("kubelet.conf"),
		"--root-dir", c.KubeletDir(), "--cert-dir", c.path("pki"), "--hostname-override", NodeName, "--node-ip", HostIP)
	if err := c.kubelet.start(); err != nil {
		return err
	}
	return c.NodeReady(ctx)
}

// NodeReady waits until the kubelet says that its node is ready.
func (c *Cluster) NodeReady(ctx context.Context) error {
	return c.until(ctx, 3*time.Minute, func() error {
		if err := c.kubelet.gone(); err != nil {
			return err
		}
		out, err := c.Kubectl(ctx, "get", "node", NodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out != "True" {
			err = fmt.Errorf("the node's condition Ready is %q%s", out, c.kubelet.tail())
		}
		return err
	})
}

// until tries until there is no error, or gives the last one back.
func (c *Cluster) until(ctx context.Context, within time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// RestartKubelet ends the kubelet and starts it again.
func (c *Cluster) RestartKubelet(ctx context.Context) error {
	if err := c.kubelet.stop(); err != nil {
		return err
	}
	return c.startKubelet(ctx)
}

// StopAPIServer takes the API server away.
func (c *Cluster) StopAPIServer() error { return c.apiserver.stop() }

// StartAPIServer brings it back.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.apiserver.start(); err != nil {
		return err
	}
	if err := c.ready(ctx); err != nil {
		return err
	}
	return c.NodeReady(ctx)
}

// Kubectl runs kubectl as the administrator and gives its standard output back.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.KubectlWith(ctx, "", args...)
}

// KubectlWith is Kubectl with standard input.
func (c *Cluster) KubectlWith(ctx context.Context, input string, args ...string) (string, error) {
	return c.run(ctx, filepath.Join(c.o.Binaries, "kubectl"), input, args...)
}

// Run runs a program that finds the cluster by KUBECONFIG.
func (c *Cluster) Run(ctx context.Context, program string, args ...string) (string, error) {
	return c.run(ctx, program, "", args...)
}

func (c *Cluster) run(ctx context.Context, program, input string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.path("admin.conf"), "HOME="+c.dir)
	cmd.Stdin = strings.NewReader(input)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return out.String(), nil
}

// Close ends everything and removes it.
func (c *Cluster) Close() error {
	var errs []error
	for _, d := range []*daemon{c.kubelet, c.scheduler, c.controllers, c.apiserver, c.etcd} {
		if d != nil {
			errs = append(errs, d.stop())
		}
	}
	if c.Node != nil {
		errs = append(errs, c.Node.Kill())
	}
	return errors.Join(errs...)
}

// LogTails are the ends of the parts' logs.
func (c *Cluster) LogTails() string {
	out := ""
	for _, d := range []*daemon{c.kubelet, c.apiserver, c.controllers} {
		if d != nil {
			out += d.tail()
		}
	}
	return out
}
