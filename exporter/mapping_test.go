package exporter

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/beesting-otel/beesting"
)

// ours are all the rows there are.
func ours() []row { return slices.Concat(resourceTable, accessTable) }

// Names of our own stay out of OpenTelemetry's namespaces, no name is there
// twice, and none is a namespace of another one on the same signal.
func TestTableNames(t *testing.T) {
	form := regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)
	conventions := []string{"service.", "k8s.", "container.", "host.", "log.", "file.", "process.", "error."}
	seen := map[attribute.Key]bool{}
	for _, r := range ours() {
		key := string(r.key)
		if !form.MatchString(key) || seen[r.key] || r.says == "" || r.on == 0 {
			t.Errorf("row %q: form, repeated, without words or on nothing", key)
		}
		seen[r.key] = true
		known := slices.ContainsFunc(conventions, func(p string) bool { return strings.HasPrefix(key, p) })
		if !known && !strings.HasPrefix(key, "honeytoken.") {
			t.Errorf("%s is in no namespace of ours", key)
		}
		if r.on&onResource != 0 && (r.on != onResource || strings.HasPrefix(key, "honeytoken.")) {
			t.Errorf("%s: a resource attribute is of the place only", key)
		}
		if r.on == onSpan && !slices.ContainsFunc(endRows, func(e row) bool { return e.key == r.key }) {
			t.Errorf("%s: the span has what the log lacks", key)
		}
	}
}

// Every row is emitted by some sample, and always with one type.
func TestTableIsUsed(t *testing.T) {
	types := map[attribute.Key]attribute.Type{}
	for _, a := range slices.AppendSeq(ownedAccesses(), maps.Values(samples())) {
		r := sampleMapping(t).record(&a)
		for _, kv := range slices.Concat(r.resource, r.log, r.span) {
			if was, ok := types[kv.Key]; ok && was != kv.Value.Type() {
				t.Errorf("%s is a %v and a %v", kv.Key, was, kv.Value.Type())
			}
			types[kv.Key] = kv.Value.Type()
		}
	}
	for _, r := range ours() {
		if _, ok := types[r.key]; !ok {
			t.Errorf("no sample has %s", r.key)
		}
	}
	given := map[attribute.Key]bool{
		"k8s.cluster.name": true, "deployment.environment.name": true,
		"k8s.pod.label.team": true, "k8s.pod.annotation.example.com/contact": true, // as asked for
	}
	for key := range types {
		if !given[key] && !slices.ContainsFunc(ours(), func(r row) bool { return r.key == key }) {
			t.Errorf("%s is emitted and not in the table", key)
		}
	}
}

func TestSeverity(t *testing.T) {
	workload, host, other := beesting.ActorWorkload, beesting.ActorHost, beesting.ActorOtherContainer
	for _, c := range []struct {
		actor     beesting.ActorClass
		flags     uint32
		container bool
		want      int
	}{
		{workload, 0, true, 17},
		{workload, 0o40, true, 17},
		{workload, accessWriteOnly, true, 19},
		{workload, accessReadWrite, true, 19},
		{workload, flagTruncate, true, 19}, // O_RDONLY|O_TRUNC truncates
		{workload, flagCreate, true, 17},
		{other, 0, true, 19},
		{host, 0, true, 19},
		{host, 0, false, 17}, // a file of the host
		{host, accessWriteOnly, false, 19},
		{other, 0, false, 19},
		{"allowed", accessWriteOnly, true, 9},
		{"runtime", 0, true, 9},
		{"something new", 0, true, 17},
	} {
		a := sampleAccess()
		a.Actor, a.File.Flags = c.actor, c.flags
		if !c.container {
			a.Placement.Container = nil
		}
		if got := severityOf(&a).number; got != c.want {
			t.Errorf("%+v: severity %d", c, got)
		}
	}
	for _, r := range severityTable {
		if r.number < 1 || r.number > 20 {
			t.Errorf("severity %d: FATAL is never used", r.number)
		}
	}
}

func TestOpenFlags(t *testing.T) {
	for _, c := range []struct {
		flags       uint32
		names, aims string
	}{
		{0, "read", "reading"},
		{0o100000 | 0o2000000, "read", "reading"}, // O_LARGEFILE, O_CLOEXEC
		{1, "write", "writing"},
		{2, "read write", "reading and writing"},
		{3, "ioctl", "device control"},
		{2 | 0o2000 | 0o1000 | 0o100 | 0o200, "read write append create exclusive truncate", "reading, writing, appending and truncation"},
		{0o40, "read exec", "execution"},
		{0o4010000, "read sync", "reading"},
	} {
		if got := strings.Join(openFlags(c.flags), " "); got != c.names {
			t.Errorf("flags %o are %q, want %q", c.flags, got, c.names)
		}
		if got := purpose(c.flags); got != c.aims {
			t.Errorf("flags %o are for %q, want %q", c.flags, got, c.aims)
		}
	}
}

func TestServiceName(t *testing.T) {
	given := []string{"OTEL_SERVICE_NAME", "from-env", "OTEL_RESOURCE_ATTRIBUTES", "service.name=from-attributes,k8s.pod.name=not-this,team=a%2Cb"}
	for _, c := range []struct {
		name      string
		container *beesting.Container
		env       []string
		want      string
	}{
		{"annotation first", &beesting.Container{Name: "c", Pod: beesting.Pod{Annotations: map[string]string{beesting.AnnotationServiceName: "a"}, Labels: map[string]string{beesting.LabelInstance: "i", beesting.LabelName: "n"}}}, given, "a"},
		{"instance", &beesting.Container{Name: "c", Pod: beesting.Pod{Labels: map[string]string{beesting.LabelInstance: "i", beesting.LabelName: "n"}}}, given, "i"},
		{"name", &beesting.Container{Name: "c", Pod: beesting.Pod{Labels: map[string]string{beesting.LabelName: "n"}}}, given, "n"},
		{"workload", &beesting.Container{Name: "c", Pod: beesting.Pod{Name: "w-5f7-x", Workload: &beesting.Workload{Owners: []beesting.Owner{{Group: "apps", Kind: "ReplicaSet", Name: "w-5f7"}, {Group: "apps", Kind: "Deployment", Name: "w"}}}}}, given, "w"},
		{"rollout", &beesting.Container{Name: "c", Pod: beesting.Pod{Name: "w-5f7-x", Workload: &beesting.Workload{Owners: []beesting.Owner{{Group: "apps", Kind: "ReplicaSet", Name: "w-5f7"}, {Group: "argoproj.io", Kind: "Rollout", Name: "r"}}}}}, given, "r"},
		{"bare pod", &beesting.Container{Name: "c", Pod: beesting.Pod{Name: "p", Workload: &beesting.Workload{}}}, given, "p"},
		{"workload not known", &beesting.Container{Name: "c", Pod: beesting.Pod{Name: "w-5f7-x", Workload: &beesting.Workload{Unresolved: "away", Owners: []beesting.Owner{{Group: "apps", Kind: "ReplicaSet", Name: "w-5f7"}}}}}, given, "c"},
		{"label as it is now", &beesting.Container{Name: "c", Pod: beesting.Pod{Labels: map[string]string{beesting.LabelName: "old"}, Workload: &beesting.Workload{Labels: map[string]string{beesting.LabelName: "new"}}}}, given, "new"},
		{"container", &beesting.Container{Name: "c", Pod: beesting.Pod{Name: "c-5f7-x"}}, given, "c"},
		{"host, variable", nil, given, "from-env"},
		{"host, attribute", nil, given[2:], "from-attributes"},
		{"host, nothing", nil, nil, "unknown_service:beesting"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := sampleAccess()
			a.Placement.Container = c.container
			r := mustMapping(t, MappingOptions{Getenv: envOf(c.env...)}).record(&a)
			m := asMap(t, r.resource)
			if m["service.name"] != c.want {
				t.Errorf("service.name %v, want %v", m["service.name"], c.want)
			}
			if c.env != nil && m["team"] != "a,b" {
				t.Errorf("team %v", m["team"])
			}
			if c.container != nil && c.container.Pod.Name != "" && m["k8s.pod.name"] != c.container.Pod.Name {
				t.Errorf("a setting won over a fact: %v", m["k8s.pod.name"])
			}
			if !slices.IsSortedFunc(r.resource, func(a, b attribute.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) }) {
				t.Error("not sorted")
			}
		})
	}
}

func TestIdentity(t *testing.T) {
	m := sampleMapping(t)
	a := sampleAccess()
	first, again := m.record(&a), m.record(&a)
	if first.traceID != again.traceID || first.spanID != again.spanID || first.traceID != a.Incident {
		t.Error("the ids of one access differ")
	}
	spans := map[[8]byte]bool{}
	for i := range 10000 {
		a := numbered(i)
		id := spanID(&a)
		if id == ([8]byte{}) || spans[id] {
			t.Fatalf("span id %x: zero or there twice", id)
		}
		spans[id] = true
	}
	if traceID(&beesting.Access{}) == ([16]byte{}) || spanID(&beesting.Access{}) == ([8]byte{}) {
		t.Error("an id of an access without ids is zero")
	}
}

// What must stay on the node stays there.
func TestNeverTold(t *testing.T) {
	for name, a := range samples() {
		data, err := formatJSON(sampleMapping(t).record(&a))
		if err != nil {
			t.Fatal(err)
		}
		if a.Placement.Container == nil {
			a.Placement.HostPath = "" // is the path itself
		}
		for _, secret := range []string{"never told", a.Placement.HostPath, "example.com/note", "not told", "kubepods", "hunter2"} {
			if secret != "" && strings.Contains(string(data), secret) {
				t.Errorf("%s tells %q: %s", name, secret, data)
			}
		}
	}
}

// Whatever the bytes: valid UTF-8, bounded, marked, and still one record.
func TestHostileAccess(t *testing.T) {
	a := hostile()
	r := sampleMapping(t).record(&a)
	for _, kv := range slices.Concat(r.resource, r.log, r.span, []attribute.KeyValue{attribute.String("body", r.body)}) {
		values := []string{kv.Value.AsString()}
		if kv.Value.Type() == attribute.STRINGSLICE {
			values = kv.Value.AsStringSlice()
		}
		for _, v := range values {
			if !utf8.ValidString(v) || len(v) > maxValue {
				t.Errorf("%s: %d bytes, valid %v", kv.Key, len(v), utf8.ValidString(v))
			}
		}
	}
	if !printable(r.body) {
		t.Errorf("body %q", r.body)
	}
	marked := asMap(t, r.log)["honeytoken.access.invalid_utf8"].([]string)
	for _, key := range []string{"process.command_args", "process.executable.path", "k8s.pod.name", "service.name", "file.path", "honeytoken.access.partial"} {
		if !slices.Contains(marked, key) {
			t.Errorf("%s is not marked: %v", key, marked)
		}
	}
	clean := sampleAccess()
	if v, ok := asMap(t, sampleMapping(t).record(&clean).log)["honeytoken.access.invalid_utf8"]; ok {
		t.Errorf("marked without a reason: %v", v)
	}
}

// Loki refuses a record with more than 128 entries for good, and counts the
// attributes of resource and record together with its own.
func TestNumberOfAttributes(t *testing.T) {
	if n := len(ours()); n > 100 {
		t.Errorf("%d attributes", n)
	}
}

// An access about which next to nothing is known still becomes a record.
func TestAlmostNothing(t *testing.T) {
	r := mustMapping(t, MappingOptions{}).record(&beesting.Access{Time: time.Unix(1, 0)})
	data, err := formatJSON(r)
	if err != nil || !json.Valid(data) {
		t.Fatalf("%v: %s", err, data)
	}
	for _, kv := range r.log {
		if strings.HasPrefix(string(kv.Key), "process.") || strings.HasPrefix(string(kv.Key), "file.") {
			t.Errorf("%s of an access without one: %v", kv.Key, kv.Value.AsInterface())
		}
	}
	if r.body != "an unknown process touched a honeytoken" {
		t.Errorf("body %q", r.body)
	}
}

// Every resource keeps its own accesses when there are more of them than
// providers are kept, and the schema survives the SDK's merging.
func TestManyResources(t *testing.T) {
	const n = maxResources + 100
	b := &backend{}
	o := otlpTo(t, sampleMapping(t), 2*n, "OTEL_EXPORTER_OTLP_ENDPOINT", b.serveHTTP(t))
	for i := range 2 * n {
		a := numbered(i)
		a.Placement.Container = &beesting.Container{ID: fmt.Sprint("id-", i%n), Name: "c"}
		a.Placement.TokenID = fmt.Sprint("id-", i%n)
		if err := o.Deliver(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, o)
	seen := 0
	for _, rl := range b.rawLogs {
		var container string
		for _, kv := range rl.GetResource().GetAttributes() {
			if kv.GetKey() == string(semconv.ContainerIDKey) {
				container = kv.GetValue().GetStringValue()
			}
		}
		if rl.GetSchemaUrl() != SchemaURL {
			t.Fatalf("schema %q", rl.GetSchemaUrl())
		}
		for _, r := range rl.GetScopeLogs()[0].GetLogRecords() {
			seen++
			if got := logAttribute(r, "honeytoken.id"); got != container {
				t.Fatalf("the access of %s is under %s", got, container)
			}
		}
	}
	if seen != 2*n {
		t.Errorf("%d of %d records", seen, 2*n)
	}
	l := newLogEncoder("v0")
	for i := range n {
		a := numbered(i)
		a.Placement.Container = &beesting.Container{ID: fmt.Sprint(i)}
		l.add(t.Context(), sampleMapping(t).record(&a))
	}
	if got := len(l.loggers.byKey); got != maxResources {
		t.Errorf("%d providers are kept", got)
	}
}

// The one that was used last stays, however long ago it was made.
func TestLRU(t *testing.T) {
	made := map[string]int{}
	l := newLRU[string](2)
	get := func(name string) {
		t.Helper()
		got := l.get([]attribute.KeyValue{attribute.String("name", name)}, func(*resource.Resource) string {
			made[name]++
			return name
		})
		if got != name {
			t.Errorf("got %s for %s", got, name)
		}
	}
	for _, name := range strings.Split("a b a c a b", " ") {
		get(name)
	}
	if want := map[string]int{"a": 1, "b": 2, "c": 1}; !maps.Equal(made, want) {
		t.Errorf("made %v, want %v", made, want)
	}
}
