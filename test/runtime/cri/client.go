// Package cri is a small client of the Kubernetes Container Runtime Interface:
// what a kubelet does to run a pod, without a kubelet.
package cri

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Client talks to a container runtime. It is safe for concurrent use.
type Client struct {
	conn         *grpc.ClientConn
	runtime      api.RuntimeServiceClient
	cgroupParent string
}

// Dial connects to the runtime's unix socket. The cgroups of all pods go below
// cgroupParent, an absolute cgroup path. It doesn't wait for the runtime: use
// [Client.WaitReady].
func Dial(socket, cgroupParent string) (*Client, error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, fmt.Errorf("CRI client of %s: %w", socket, err)
	}
	return &Client{conn: conn, runtime: api.NewRuntimeServiceClient(conn), cgroupParent: cgroupParent}, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// WaitReady waits until the runtime answers and says that it is ready to run
// containers, or ctx ends.
func (c *Client) WaitReady(ctx context.Context) error {
	var last error
	for {
		if last = c.ready(ctx); last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("CRI runtime readiness: %w (last answer: %w)", ctx.Err(), last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (c *Client) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	// Not waiting for the connection: gRPC's own back-off would, for seconds.
	c.conn.Connect()
	s, err := c.runtime.Status(ctx, &api.StatusRequest{})
	if err != nil {
		c.conn.ResetConnectBackoff()
		return err
	}
	for _, cond := range s.GetStatus().GetConditions() {
		if cond.Type == api.RuntimeReady && cond.Status {
			return nil
		}
	}
	return errors.New("the runtime says that it is not ready")
}

// Version names the runtime and its version.
func (c *Client) Version(ctx context.Context) (name, version string, err error) {
	v, err := c.runtime.Version(ctx, &api.VersionRequest{})
	if err != nil {
		return "", "", fmt.Errorf("runtime version: %w", err)
	}
	return v.RuntimeName, v.RuntimeVersion, nil
}

// ExecResult is what a process run by [Client.Exec] left behind.
type ExecResult struct {
	Stdout, Stderr []byte
	ExitCode       int32
}

// Exec runs a command in a running container and waits for its end. A command
// that ran and failed is a result, not an error.
func (c *Client) Exec(ctx context.Context, container string, command ...string) (ExecResult, error) {
	r, err := c.runtime.ExecSync(ctx, &api.ExecSyncRequest{ContainerId: container, Cmd: command})
	if err != nil {
		return ExecResult{}, fmt.Errorf("exec %q in %s: %w", command, short(container), err)
	}
	return ExecResult{Stdout: r.Stdout, Stderr: r.Stderr, ExitCode: r.ExitCode}, nil
}

// short is enough of an id to find the rest in a log.
func short(id string) string {
	if len(id) > 12 {
		return id[:12]
	}
	return id
}
