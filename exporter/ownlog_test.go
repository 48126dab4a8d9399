package exporter

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
)

func ownLog(t *testing.T, console *bytes.Buffer, variables ...string) *OwnLog {
	t.Helper()
	own, err := NewOwnLog(t.Context(), sampleMapping(t), envOf(variables...), slog.New(slog.NewTextHandler(console, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// The agent's own lines arrive over both protocols, as lines of the node.
func TestOwnLog(t *testing.T) {
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		var console bytes.Buffer
		own := ownLog(t, &console, variables...)
		slog.New(own.Handler()).With("token", "aws").Warn("touches are missing", slog.Int("touches", 3))
		if err := own.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.rawLogs) != 1 || len(b.rawLogs[0].GetScopeLogs()) != 1 || len(b.rawLogs[0].GetScopeLogs()[0].GetLogRecords()) != 1 {
			t.Fatalf("arrived: %v", b.rawLogs)
		}
		r := b.rawLogs[0].GetScopeLogs()[0].GetLogRecords()[0]
		if r.GetBody().GetStringValue() != "touches are missing" || r.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN ||
			logAttribute(r, "token") != "aws" || console.Len() > 0 {
			t.Errorf("line %v; console:\n%s", r, &console)
		}
	})
}

// A back end that isn't there costs a line on the console, and no time.
func TestOwnLogUnsent(t *testing.T) {
	var console bytes.Buffer
	own := ownLog(t, &console, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+unusedAddress(t))
	log := slog.New(own.Handler())
	for range 2 {
		log.Info("ready")
		if err := own.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := own.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(console.String(), "own log not sent"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &console)
	}
}

func TestOwnLogOff(t *testing.T) {
	var console bytes.Buffer
	for variable, value := range map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_LOGS_EXPORTER": "none"} {
		own := ownLog(t, &console, variable, value)
		slog.New(own.Handler()).Error("nobody hears")
		if err := own.Shutdown(t.Context()); err != nil || console.Len() > 0 {
			t.Errorf("%s: %v\n%s", variable, err, &console)
		}
	}
	if _, err := NewOwnLog(t.Context(), sampleMapping(t), envOf("OTEL_EXPORTER_OTLP_ENDPOINT", "collector"), slog.Default()); err == nil || !strings.Contains(err.Error(), "OTEL_EXPORTER_OTLP_ENDPOINT") {
		t.Errorf("wrong variable: %v", err)
	}
}
