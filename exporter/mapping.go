package exporter

import (
	"errors"
	"fmt"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// EventName is the event name of the log record of an access. A span's name is
// that, a dot and the kind.
const EventName = "honeytoken.access"

// ScopeName is the instrumentation scope of logs and spans.
const ScopeName = "github.com/beesting-otel/beesting"

// SchemaURL is set on resources and scopes. It names the version of the
// semantic conventions that the attribute names follow.
const SchemaURL = semconv.SchemaURL

// Node is what is known of the machine. Empty fields are left out.
type Node struct {
	// Name is the Kubernetes node name.
	Name string
	// HostName is what uname(2) says, HostID the content of /etc/machine-id.
	HostName, HostID string
}

// MappingOptions configures a [Mapping]. The zero value works.
type MappingOptions struct {
	Node Node
	// Args says what becomes of process.command_args; ArgsRedacted if empty.
	Args ArgsMode
	// Version is that of the instrumentation scope. If empty, the module's
	// version in the build information of the running binary is used.
	Version string
	// PodLabels and PodAnnotations are the keys of those that are told of the
	// token's pod; of the first 32 and 16.
	PodLabels, PodAnnotations []string
	// Getenv reads OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME; nil means
	// that neither is set.
	Getenv func(string) string
}

// Mapping is the one place where an access becomes names and values. It is
// immutable and safe for concurrent use.
type Mapping struct {
	node    Node
	args    ArgsMode
	version string
	place   []row                // of the resource
	given   []attribute.KeyValue // from OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
}

// NewMapping checks o. An error names the setting and what is wrong with it.
func NewMapping(o MappingOptions) (*Mapping, error) {
	args, err := ParseArgsMode(string(o.Args))
	if err != nil {
		return nil, err
	}
	m := &Mapping{
		node: o.Node, args: args, version: o.Version,
		place: slices.Concat(resourceTable, podRows(o.PodLabels, o.PodAnnotations)),
	}
	if m.version == "" {
		m.version = moduleVersion()
	}
	if o.Getenv == nil {
		return m, nil
	}
	if m.given, err = parseResourceAttributes(o.Getenv("OTEL_RESOURCE_ATTRIBUTES")); err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	if name := strings.TrimSpace(o.Getenv("OTEL_SERVICE_NAME")); name != "" {
		m.given = append(m.given, semconv.ServiceName(name))
	}
	return m, nil
}

// moduleVersion is the version of this module in the running binary, whether
// it is the main module (the agent) or a dependency (the receiver).
func moduleVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, dep := range info.Deps {
		if dep.Path == ScopeName {
			return dep.Version
		}
	}
	return info.Main.Version
}

// parseResourceAttributes reads the form that the resource specification
// gives: key=value pairs with commas in between, values percent-encoded.
func parseResourceAttributes(s string) ([]attribute.KeyValue, error) {
	var attrs []attribute.KeyValue
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	for pair := range strings.SplitSeq(s, ",") {
		key, value, found := strings.Cut(pair, "=")
		key = strings.TrimSpace(key)
		if !found || key == "" {
			return nil, fmt.Errorf("%q is not of the form key=value", pair)
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("value of %s: %w", key, err)
		}
		if !utf8.ValidString(key) || !utf8.ValidString(value) {
			return nil, errors.New("must be valid UTF-8")
		}
		attrs = append(attrs, attribute.String(key, value))
	}
	return attrs, nil
}

// deniedStatus describes the status of a span whose access was denied; why, its
// error.type says.
const deniedStatus = "refused by the kernel"

// record is an access or a gap in the terms of OpenTelemetry, before any encoder: the
// SDK's, pdata's and JSON's.
type record struct {
	event     string
	name      string               // of the span
	resource  []attribute.KeyValue // sorted by key, no key twice
	log, span []attribute.KeyValue // in the order of the table
	body      string
	severity  severityRule
	time      time.Time
	end       time.Time // of the span
	observed  time.Time
	traced    bool // there is a span, with these ids
	traceID   [16]byte
	spanID    [8]byte
	denied    bool
}

// record maps a. It reads a and keeps no reference into it but to strings.
func (m *Mapping) record(a *beesting.Access) record {
	f := &facts{access: a, node: m.node, args: sanitiseArgs(a.Process.Args, m.args, a.Process.ArgsTruncated)}
	observed := a.ObservedTime
	if observed.IsZero() {
		observed = a.Time // rather than when it is sent, which the SDK would put there
	}
	return record{
		event:    EventName,
		name:     spanName(a.Kind),
		resource: m.resource(f),
		// The log's rows have all of the span's that can be invalid. They come
		// last so that they can name what was replaced in the others.
		span:     f.apply(accessTable, onSpan),
		log:      f.apply(accessTable, onLog),
		body:     sentence(a),
		severity: severityOf(a),
		time:     a.Time,
		end:      endOf(a),
		observed: observed,
		traced:   true,
		traceID:  traceID(a),
		spanID:   spanID(a),
		denied:   a.Outcome == beesting.OutcomeDenied,
	}
}

// of maps what waits in a queue.
func (m *Mapping) of(it item) record {
	if it.gap != nil {
		return m.gap(it.gap)
	}
	return m.record(it.access)
}

// spanName has few values, as a span's name is to have. An unknown kind is the
// agent's, never the actor's, to choose.
func spanName(kind beesting.AccessKind) string {
	if kind == "" {
		return EventName
	}
	name, _ := validString(string(kind))
	return EventName + "." + name
}

// resource is what the table says of the place, on top of what the
// environment gave: facts win over settings, as in the SDK's own merge.
func (m *Mapping) resource(f *facts) []attribute.KeyValue {
	attrs := f.apply(m.place, onResource)
	set := attribute.NewSet(append(slices.Clone(m.given), attrs...)...)
	attrs = set.ToSlice()
	if !set.HasValue(semconv.ServiceNameKey) {
		// What the resource specification wants where nothing is known.
		attrs = append(attrs, semconv.ServiceName("unknown_service:beesting"))
		slices.SortFunc(attrs, func(a, b attribute.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) })
	}
	return attrs
}

// resourceKey tells resources apart: it is the attributes' text. Not their hash: a tenant chooses some of
// them, and a collision would put one tenant's access under another one's name.
func resourceKey(attrs []attribute.KeyValue) string {
	set := attribute.NewSet(attrs...)
	return set.Encoded(attribute.DefaultEncoder())
}
