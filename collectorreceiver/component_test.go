//go:build !darwin && !windows

package collectorreceiver

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/beesting-otel/beesting/internal/agent"
)

// This file is what mdatagen makes of metadata.yaml, but for Start, which needs
// a node: see startable.

var typ = component.MustNewType("honeytoken")

func TestComponentFactoryType(t *testing.T) {
	require.Equal(t, typ, NewFactory().Type())
}

func TestComponentConfigStruct(t *testing.T) {
	require.NoError(t, componenttest.CheckConfigStruct(NewFactory().CreateDefaultConfig()))
}

func TestComponentLifecycle(t *testing.T) {
	factory := NewFactory()
	tests := []struct {
		createFn func(ctx context.Context, set receiver.Settings, cfg component.Config) (component.Component, error)
		name     string
	}{
		{
			name: "logs",
			createFn: func(ctx context.Context, set receiver.Settings, cfg component.Config) (component.Component, error) {
				return factory.CreateLogs(ctx, set, cfg, consumertest.NewNop())
			},
		},
		{
			name: "metrics",
			createFn: func(ctx context.Context, set receiver.Settings, cfg component.Config) (component.Component, error) {
				return factory.CreateMetrics(ctx, set, cfg, consumertest.NewNop())
			},
		},
		{
			name: "traces",
			createFn: func(ctx context.Context, set receiver.Settings, cfg component.Config) (component.Component, error) {
				return factory.CreateTraces(ctx, set, cfg, consumertest.NewNop())
			},
		},
	}

	cm, err := confmaptest.LoadConf("metadata.yaml")
	require.NoError(t, err)
	sub, err := cm.Sub("tests::config")
	require.NoError(t, err)
	cfg, ok := factory.CreateDefaultConfig().(*Config)
	require.True(t, ok)
	require.NoError(t, sub.Unmarshal(cfg))
	require.NoError(t, cfg.Validate())

	for _, tt := range tests {
		t.Run(tt.name+"-shutdown", func(t *testing.T) {
			c, err := tt.createFn(t.Context(), receivertest.NewNopSettings(typ), cfg)
			require.NoError(t, err)
			require.NoError(t, c.Shutdown(t.Context()))
		})
		t.Run(tt.name+"-lifecycle", func(t *testing.T) {
			cfg := startable(t, *cfg)
			for range 2 {
				c, err := tt.createFn(t.Context(), receivertest.NewNopSettings(typ), cfg)
				require.NoError(t, err)
				if err := c.Start(t.Context(), componenttest.NewNopHost()); err != nil {
					requireNoNode(t, cfg, err)
				}
				require.NoError(t, c.Shutdown(t.Context()))
			}
		})
	}
}

// startable gives the configuration what Start looks for: a socket, at which
// nobody needs to listen, and a place for the state directory.
func startable(t *testing.T, cfg Config) *Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "lifecycle-") // short, for the socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	cfg.NRI.Socket = filepath.Join(dir, "nri.sock")
	cfg.StateDir = filepath.Join(dir, "state")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", cfg.NRI.Socket)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	// Where this machine can be watched an engine is left, for a while.
	t.Cleanup(func() {
		shared.mu.Lock()
		parked := shared.parked
		shared.mu.Unlock()
		if parked != nil {
			shared.expire(parked)
		}
	})
	return &cfg
}

// requireNoNode accepts an error of Start only if this machine can't be watched:
// it lacks something that was looked for beforehand, or its kernel refuses every
// way to attach.
func requireNoNode(t *testing.T, cfg *Config, err error) {
	t.Helper()
	c, resolveErr := cfg.resolve(shared.env)
	require.NoError(t, resolveErr)
	if _, lacks := preflight(c); lacks != nil {
		require.EqualError(t, err, lacks.Error())
		t.Logf("not started on this machine: %v", err)
		return
	}
	require.True(t, strings.HasPrefix(err.Error(), "attach to the kernel: "), "%v", err)
	for _, attempt := range agent.ProbeSensor(agent.SensorOptions{Mode: c.Sensor.Mode, RingBytes: c.Sensor.RingBytes, MaxWatches: c.Sensor.MaxWatches}) {
		require.Error(t, attempt.Err, "%v, though %s works", err, attempt.Mode)
	}
	t.Logf("not started on this machine: %v", err)
}
