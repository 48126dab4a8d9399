package exporter

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// The variables are read here rather than by the exporters: those report a
// value they can't use to a global error handler and go on with localhost or
// without TLS, which for a sensor means silence. Here it is an error at start.
// contrib's autoexport was the other way: it brings metrics, Prometheus and
// console exporters into the binary, and leaves no way to turn the exporters'
// own retry off or to see what the back end answered.

// The protocols of OTLP that the official exporters have for logs and spans.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// signal is a kind of telemetry as the variables and paths of OTLP name it.
type signal struct {
	name     string // for people and statistics
	variable string // part of the variables' names
	path     string // of OTLP over HTTP
}

// endpoint is where and how one signal is sent.
type endpoint struct {
	protocol string
	url      *url.URL // scheme http, https or (gRPC) unix; for HTTP the whole path
	headers  map[string]string
	gzip     bool
	timeout  time.Duration // of one attempt
	tls      *tls.Config   // nil: not encrypted
}

func (e endpoint) String() string {
	return e.protocol + " " + e.url.Redacted()
}

// env reads the variables of one signal: the signal's own first.
type env struct {
	getenv func(string) string
	signal signal
}

// lookup returns the value and the name of the variable that has it.
func (e env) lookup(name string) (value, variable string) {
	variable = "OTEL_EXPORTER_OTLP_" + e.signal.variable + "_" + name
	if v := strings.TrimSpace(e.getenv(variable)); v != "" {
		return v, variable
	}
	variable = "OTEL_EXPORTER_OTLP_" + name
	return strings.TrimSpace(e.getenv(variable)), variable
}

// disabled reports whether OTEL_SDK_DISABLED turns everything off.
func disabled(getenv func(string) string) (bool, error) {
	switch v := strings.ToLower(strings.TrimSpace(getenv("OTEL_SDK_DISABLED"))); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("OTEL_SDK_DISABLED=%q: must be true or false", v)
	}
}

// noFile refuses a declarative configuration: it describes the SDK's providers and
// processors, of which none is here, and where it is set it is meant to be the only
// source. To go on without it could send telemetry to another place than it says.
func noFile(getenv func(string) string) error {
	if v := getenv("OTEL_CONFIG_FILE"); v != "" {
		return fmt.Errorf("OTEL_CONFIG_FILE=%q: files of the declarative configuration are not read; unset it and use OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of docs/telemetry.md", v)
	}
	return nil
}

// selected reads OTEL_LOGS_EXPORTER or OTEL_TRACES_EXPORTER.
func (e env) selected() (bool, error) {
	variable := "OTEL_" + e.signal.variable + "_EXPORTER"
	switch v := strings.TrimSpace(e.getenv(variable)); v {
	case "", "otlp":
		return true, nil
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("%s=%q: must be otlp or none", variable, v)
	}
}

// endpoint reads everything there is on where to send the signal.
func (e env) endpoint() (endpoint, error) {
	var out endpoint
	for _, read := range []func(*endpoint) error{
		e.readProtocol, e.readURL, e.readHeaders, e.readCompression, e.readTimeout, e.readTLS,
	} {
		if err := read(&out); err != nil {
			return endpoint{}, err
		}
	}
	return out, nil
}

func (e env) readProtocol(out *endpoint) error {
	switch v, variable := e.lookup("PROTOCOL"); v {
	case "", protocolHTTP:
		out.protocol = protocolHTTP // what the specification recommends as default
	case protocolGRPC:
		out.protocol = protocolGRPC
	default:
		return fmt.Errorf("%s=%q: must be %s or %s", variable, v, protocolGRPC, protocolHTTP)
	}
	return nil
}

func (e env) readURL(out *endpoint) error {
	value, variable := e.lookup("ENDPOINT")
	var err error
	if out.protocol == protocolGRPC {
		out.url, err = e.grpcURL(value)
	} else {
		out.url, err = e.httpURL(value, variable)
	}
	if err != nil {
		return fmt.Errorf("%s=%q: %w", variable, value, err)
	}
	return nil
}

// grpcURL accepts HOST:PORT too, as the specification has it for gRPC; whether
// that is encrypted is then for OTEL_EXPORTER_OTLP_INSECURE to say.
func (e env) grpcURL(value string) (*url.URL, error) {
	if value == "" {
		value = "http://localhost:4317"
	}
	if !strings.Contains(value, "://") {
		insecure, err := e.insecure()
		if err != nil {
			return nil, err
		}
		value = map[bool]string{true: "http://", false: "https://"}[insecure] + value
	}
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return nil, errors.New("not a URL")
	case u.Scheme == "unix" && u.Path != "":
		return u, nil
	case u.Scheme == "unix":
		return nil, errors.New("names no socket")
	}
	return u, checkURL(u)
}

func (e env) insecure() (bool, error) {
	v, variable := e.lookup("INSECURE")
	switch strings.ToLower(v) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, fmt.Errorf("%s=%q: must be true or false", variable, v)
}

// httpURL appends the signal's path to the common variable's base URL and
// takes a signal's own URL as it is, as the specification says.
func (e env) httpURL(value, variable string) (*url.URL, error) {
	own := strings.Contains(variable, "_"+e.signal.variable+"_")
	if value == "" {
		value, own = "http://localhost:4318", false
	}
	u, err := url.Parse(value)
	if err != nil || !strings.Contains(value, "://") {
		return nil, errors.New(`not a URL of the form "http://HOST:PORT"`)
	}
	switch {
	case !own:
		u.Path = path.Join("/", u.Path, e.signal.path)
	case u.Path == "":
		u.Path = "/"
	}
	return u, checkURL(u)
}

func checkURL(u *url.URL) error {
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("scheme %q: must be http or https", u.Scheme)
	case u.Hostname() == "":
		return errors.New("names no host")
	case u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return errors.New("must hold no user, query or fragment")
	}
	return nil
}

// hostPort is the address with the scheme's port where none is named.
func (e endpoint) hostPort() string {
	if e.url.Port() != "" {
		return e.url.Host
	}
	port := map[string]string{"http": "80", "https": "443"}[e.url.Scheme]
	return net.JoinHostPort(e.url.Hostname(), port)
}

func (e env) readHeaders(out *endpoint) error {
	value, variable := e.lookup("HEADERS")
	if value == "" {
		return nil
	}
	out.headers = make(map[string]string)
	for pair := range strings.SplitSeq(value, ",") {
		key, val, found := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		val, err := url.PathUnescape(strings.TrimSpace(val))
		// The value may be a credential: it is not shown.
		if !found || err != nil || !httpguts.ValidHeaderFieldName(key) || !httpguts.ValidHeaderFieldValue(val) {
			return fmt.Errorf("%s: %q is not the name of a header with a percent-encoded value after \"=\"", variable, key)
		}
		out.headers[strings.ToLower(key)] = val
	}
	return nil
}

func (e env) readCompression(out *endpoint) error {
	switch v, variable := e.lookup("COMPRESSION"); v {
	case "", "none":
	case "gzip":
		out.gzip = true
	default:
		return fmt.Errorf("%s=%q: must be gzip or none", variable, v)
	}
	return nil
}

// defaultTimeout is the specification's.
const defaultTimeout = 10 * time.Second

func (e env) readTimeout(out *endpoint) (err error) {
	value, variable := e.lookup("TIMEOUT")
	out.timeout, err = milliseconds(value, variable, defaultTimeout)
	return err
}

func milliseconds(value, variable string, otherwise time.Duration) (time.Duration, error) {
	if value == "" {
		return otherwise, nil
	}
	ms, err := strconv.ParseUint(value, 10, 31)
	if err != nil || ms == 0 {
		return 0, fmt.Errorf("%s=%q: must be a number of milliseconds above 0", variable, value)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

func (e env) readTLS(out *endpoint) error {
	if out.url.Scheme != "https" {
		return nil
	}
	out.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if file, variable := e.lookup("CERTIFICATE"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s: %w", variable, err)
		}
		out.tls.RootCAs = x509.NewCertPool()
		if !out.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: no certificate in %s", variable, file)
		}
	}
	certFile, certVariable := e.lookup("CLIENT_CERTIFICATE")
	keyFile, keyVariable := e.lookup("CLIENT_KEY")
	switch {
	case certFile == "" && keyFile == "":
		return nil
	case certFile == "" || keyFile == "":
		return fmt.Errorf("%s and %s: one is set without the other", certVariable, keyVariable)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("%s: %w", certVariable, err)
	}
	out.tls.Certificates = []tls.Certificate{pair}
	return nil
}
