package main

import (
	"slices"
	"testing"
)

func TestOTLPEnvironment(t *testing.T) {
	tests := []struct {
		target      string
		host, guest []string
	}{
		{"", nil, nil},
		{
			"127.0.0.1:4317",
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://10.0.2.2:4317", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
		},
		{
			"[::1]:4318",
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://[::1]:4318", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"},
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://10.0.2.2:4318", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"},
		},
		{
			"192.0.2.7:9999",
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://192.0.2.7:9999", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://192.0.2.7:9999", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
		},
	}
	for _, tt := range tests {
		host, err := otlpEnv(tt.target)
		if err != nil {
			t.Errorf("%q: %v", tt.target, err)
		}
		if !slices.Equal(host, tt.host) {
			t.Errorf("%q on the host: %q, want %q", tt.target, host, tt.host)
		}
		if guest := guestEnv(host); !slices.Equal(guest, tt.guest) {
			t.Errorf("%q in a guest: %q, want %q", tt.target, guest, tt.guest)
		}
	}
	for _, bad := range []string{"localhost", ":4317", "http://x:1", "x:"} {
		if env, err := otlpEnv(bad); err == nil {
			t.Errorf("%q: %q and no error", bad, env)
		}
	}
}
