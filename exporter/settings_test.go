package exporter

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

func TestEndpoint(t *testing.T) {
	for _, c := range []struct {
		variables  []string
		logs, span string // protocol and URL
	}{
		{nil, "http/protobuf http://localhost:4318/v1/logs", "http/protobuf http://localhost:4318/v1/traces"},
		{[]string{"PROTOCOL", "grpc"}, "grpc http://localhost:4317", "grpc http://localhost:4317"},
		{[]string{"ENDPOINT", "http://c:1/otlp/"}, "http/protobuf http://c:1/otlp/v1/logs", "http/protobuf http://c:1/otlp/v1/traces"},
		{[]string{"ENDPOINT", "https://c", "LOGS_ENDPOINT", "http://loki:3100/otlp/v1/logs"}, "http/protobuf http://loki:3100/otlp/v1/logs", "http/protobuf https://c/v1/traces"},
		{[]string{"TRACES_ENDPOINT", "http://t:1"}, "http/protobuf http://localhost:4318/v1/logs", "http/protobuf http://t:1/"},
		{[]string{"PROTOCOL", "grpc", "LOGS_PROTOCOL", "http/protobuf", "ENDPOINT", "http://c:9"}, "http/protobuf http://c:9/v1/logs", "grpc http://c:9"},
		{[]string{"PROTOCOL", "grpc", "ENDPOINT", "c:4317"}, "grpc https://c:4317", "grpc https://c:4317"},
		{[]string{"PROTOCOL", "grpc", "ENDPOINT", "c:4317", "INSECURE", "true"}, "grpc http://c:4317", "grpc http://c:4317"},
		{[]string{"PROTOCOL", "grpc", "ENDPOINT", "unix:///run/otel.sock"}, "grpc unix:///run/otel.sock", "grpc unix:///run/otel.sock"},
	} {
		getenv := otlpEnv(c.variables...)
		for signal, want := range map[signal]string{logsSignal(): c.logs, spansSignal(): c.span} {
			got, err := env{getenv, signal}.endpoint()
			if err != nil || got.String() != want {
				t.Errorf("%v: %s to %q, %v; want %q", c.variables, signal.name, got, err, want)
			}
		}
	}
}

// otlpEnv is envOf with OTEL_EXPORTER_OTLP_ in front of every name.
func otlpEnv(pairs ...string) func(string) string {
	pairs = slices.Clone(pairs)
	for i := 0; i < len(pairs); i += 2 {
		pairs[i] = "OTEL_EXPORTER_OTLP_" + pairs[i]
	}
	return envOf(pairs...)
}

// Every wrong value is one clear error that names the variable, at the start.
func TestWrongSettings(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ variables, want string }{
		{"OTEL_EXPORTER_OTLP_PROTOCOL=http/json", `OTEL_EXPORTER_OTLP_PROTOCOL="http/json": must be grpc or http/protobuf`},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=udp", `OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="udp"`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318", `OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318": not a URL`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=ftp://c", `scheme "ftp"`},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://", "names no host"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://me:pw@c", "must hold no user"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=unix://", "names no socket"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=c:1 OTEL_EXPORTER_OTLP_INSECURE=yes", "OTEL_EXPORTER_OTLP_INSECURE"},
		{"OTEL_EXPORTER_OTLP_HEADERS=authorization", "OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_HEADERS=a=%0d%0ax", "OTEL_EXPORTER_OTLP_HEADERS"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION=zstd", "must be gzip or none"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT=10s", "must be a number of milliseconds"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT=0", "must be a number of milliseconds"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c OTEL_EXPORTER_OTLP_CERTIFICATE=/does/not/exist", "OTEL_EXPORTER_OTLP_CERTIFICATE: open /does/not/exist"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c OTEL_EXPORTER_OTLP_CERTIFICATE=" + empty, "no certificate in"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c OTEL_EXPORTER_OTLP_CLIENT_KEY=x", "one is set without the other"},
		{"OTEL_SDK_DISABLED=1", "OTEL_SDK_DISABLED"},
		{"OTEL_CONFIG_FILE=/etc/otel.yaml", `OTEL_CONFIG_FILE="/etc/otel.yaml": files of the declarative`},
		{"OTEL_LOGS_EXPORTER=console", `OTEL_LOGS_EXPORTER="console": must be otlp or none`},
	} {
		var pairs []string
		for v := range strings.FieldsSeq(c.variables) {
			name, value, _ := strings.Cut(v, "=")
			pairs = append(pairs, name, value)
		}
		o, err := NewOTLP(t.Context(), sampleMapping(t), OTLPOptions{Getenv: envOf(pairs...), Logger: testLog(t)})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", c.variables, err, c.want)
		}
		if o != nil {
			t.Errorf("%s: an exporter with an error", c.variables)
		}
	}
	for _, c := range []struct{ name, value string }{
		{"OTEL_RESOURCE_ATTRIBUTES", "a=1,b"}, {"OTEL_RESOURCE_ATTRIBUTES", "=x"},
		{"OTEL_RESOURCE_ATTRIBUTES", "a=%zz"}, {"OTEL_RESOURCE_ATTRIBUTES", "a=%ff"},
	} {
		_, err := NewMapping(MappingOptions{Getenv: envOf(c.name, c.value)})
		if err == nil || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s=%s: %v", c.name, c.value, err)
		}
	}
	if _, err := NewMapping(MappingOptions{Args: "some"}); err == nil || !strings.Contains(err.Error(), `"some"`) {
		t.Errorf("arguments mode: %v", err)
	}
}

// A header's value may be a credential: an error must not show it.
func TestHeaderValueStaysHidden(t *testing.T) {
	_, err := env{otlpEnv("HEADERS", "bad name=s3cr3t"), logsSignal()}.endpoint()
	if err == nil || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("error %v", err)
	}
}

func TestHeadersAndCompression(t *testing.T) {
	protocols(t, func(t *testing.T, b *backend, variables []string) {
		o := otlpTo(t, sampleMapping(t), 0, append(variables,
			"OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20x, x-tenant=a",
			"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-tenant=b",
			"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")...)
		deliver(t, o, 0, 1)
		drain(t, o)
		wantStats(t, o.Stats().Logs, 1, 1, nil)
		tenants := map[string]string{}
		for _, h := range b.headers {
			tenants[h.Get("X-Tenant")] = h.Get("Authorization")
			if !strings.HasSuffix(t.Name(), "grpc") && h.Get("Content-Encoding") != "gzip" {
				t.Errorf("not compressed: %v", h)
			}
		}
		if len(tenants) != 2 || tenants["a"] != "Bearer x" || tenants["b"] != "" {
			t.Errorf("headers by tenant: %v", tenants)
		}
	})
}

// certificates writes an authority and a pair for 127.0.0.1 signed by it.
func certificates(t *testing.T) (caFile, certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, certFile, keyFile, pool
}

// Both sides show a certificate, over both protocols; without the authority's
// certificate nothing is delivered and nothing is lost before Shutdown.
func TestTLS(t *testing.T) {
	ca, cert, key, pool := certificates(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
	b := &backend{}
	web := httptest.NewUnstartedServer(b)
	web.TLS = server
	web.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that are meant to fail
	web.StartTLS()
	t.Cleanup(web.Close)
	for protocol, target := range map[string]string{
		"http/protobuf": web.URL,
		"grpc":          "https://" + b.serveGRPC(t, "127.0.0.1:0", grpc.Creds(credentials.NewTLS(server))),
	} {
		t.Run(protocol, func(t *testing.T) {
			variables := []string{"OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "OTEL_EXPORTER_OTLP_ENDPOINT", target}
			o := otlpTo(t, sampleMapping(t), 0, append(variables, "OTEL_EXPORTER_OTLP_CERTIFICATE", ca,
				"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", cert, "OTEL_EXPORTER_OTLP_CLIENT_KEY", key)...)
			deliver(t, o, 0, 1)
			drain(t, o)
			wantStats(t, o.Stats().Logs, 1, 1, nil)

			o = otlpTo(t, sampleMapping(t), 0, variables...)
			deliver(t, o, 0, 1)
			eventually(t, "some attempts", func() bool { return o.Stats().Logs.Retries > 2 })
			wantStats(t, o.Stats().Logs, 1, 0, nil)
		})
	}
}

func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "7": 7 * time.Second,
		at.Add(time.Minute).Format(http.TimeFormat):  time.Minute - time.Duration(at.Nanosecond()),
		at.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(value, at); got != want {
			t.Errorf("retryAfter(%q) = %v, want %v", value, got, want)
		}
	}
}
