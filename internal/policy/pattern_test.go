package policy

import (
	"regexp"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting"
)

func imagePatterns(t *testing.T, ss ...string) []Pattern {
	t.Helper()
	var ps []Pattern
	for _, s := range ss {
		p, err := ParseImage(s)
		if err != nil {
			t.Fatalf("pattern %q: %v", s, err)
		}
		ps = append(ps, p)
	}
	return ps
}

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func image(ref string) beesting.Container {
	var c beesting.Container
	name, tag, sum := beesting.SplitImage(ref)
	c.ImageName = name
	if tag != "" {
		c.ImageTags = []string{tag}
	}
	if sum != "" {
		c.ImageDigests = []string{sum}
	}
	return c
}

func TestMatchImages(t *testing.T) {
	tests := []struct {
		pattern, image string
		want           bool
	}{
		{"docker.io/library/nginx", "docker.io/library/nginx:1.27", true},
		{"docker.io/library/nginx:1.*", "docker.io/library/nginx:1.27", true},
		{"docker.io/library/nginx:1.2?", "docker.io/library/nginx:1.27", true},
		{"docker.io/library/nginx:1.2", "docker.io/library/nginx:1.27", false},
		{"docker.io/library/nginx:*", "docker.io/library/nginx", false}, // no tag is known
		{"docker.io/library/ngin", "docker.io/library/nginx:1.27", false},
		{"nginx", "docker.io/library/nginx:1.27", true}, // as a pod may name it
		{"nginx:1.27", "docker.io/library/nginx:1.27", true},
		{"docker.io/library/nginx", "nginx:1.27", true}, // as some runtimes tell it
		{"library/nginx", "docker.io/library/nginx", false},
		{"nginx", "quay.io/library/nginx", false},
		{"nginx", "docker.io/other/nginx", false},
		{"grafana/grafana", "docker.io/grafana/grafana:11", true},
		{"docker.io/grafana/*", "grafana/grafana:11", true},
		{"*/nginx", "registry.example:5000/team/a/nginx:1", true}, // "*" crosses slashes
		{"registry.example:5000/*", "registry.example:5000/team/nginx:1", true},
		{"registry.example:5000/*", "registry.example:5001/team/nginx:1", false},
		{"registry.example/*", "registry.example:5000/team/nginx", false},
		{"registry.example:5000/web", "registry.example:5000/web", true}, // the port is no tag
		{"registry.example:*", "registry.example:5000/web", true},
		{"localhost/web", "localhost/web:1", true},
		{"docker.io/localhost/web", "localhost/web:1", false},
		{"[::1]:5000/web", "[::1]:5000/web:1", true},
		{"web@" + digest, "docker.io/library/web@" + digest, true},
		{"*@sha256:0123*", "quay.io/a/web@" + digest, true},
		{"*@sha256:9999*", "quay.io/a/web@" + digest, false},
		{"quay.io/a/web:v1", "quay.io/a/web:v1@" + digest, true},
		{"quay.io/a/web:v1@" + digest, "quay.io/a/web:v1@" + digest, true},
		{"quay.io/a/web@" + digest, "quay.io/a/web:v1@" + digest, true},
		{"quay.io/a/web:V1", "quay.io/a/web:v1", false},
		{"*", "quay.io/a/web", true},
		{"*", digest, false}, // only an id: no name
		{"*", "", false},
	}
	for _, tt := range tests {
		m := Match{Rule: Rule{Images: imagePatterns(t, tt.pattern)}}
		if got := m.Matches(image(tt.image)); got != tt.want {
			t.Errorf("%q on %q = %v, want %v", tt.pattern, tt.image, got, tt.want)
		}
	}
}

func TestMatchContainers(t *testing.T) {
	for pattern, want := range map[string]bool{"app": true, "a*": true, "*p": true, "a?p": true, "ap": false, "app-*": false, "?": false} {
		p, err := ParseContainer(pattern)
		if err != nil {
			t.Fatal(err)
		}
		m := Match{Rule: Rule{Containers: []Pattern{p}}}
		if got := m.Matches(beesting.Container{Name: "app"}); got != want {
			t.Errorf("%q on app = %v, want %v", pattern, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, s := range []string{"", "a b", "a$", `a\b`, "https://docker.io/a", "a{b}", "ü", strings.Repeat("a", 513)} {
		if p, err := ParseImage(s); err == nil {
			t.Errorf("ParseImage(%q) = %v, want an error", s, p)
		}
	}
	_, err := ParseContainer("App")
	if want := `'A' can't be in a container's name: use a-z, 0-9, "-", and "*" or "?" as wildcards`; err == nil || err.Error() != want {
		t.Errorf("ParseContainer = %v, want %s", err, want)
	}
	if _, err = ParseContainer(strings.Repeat("a", 64)); err == nil || err.Error() != "longer than 63 bytes, which no container is" {
		t.Errorf("ParseContainer of 64 bytes = %v", err)
	}
}

// The same meaning, by way of the regexp package.
func FuzzPattern(f *testing.F) {
	f.Add("web-*", "web-1")
	f.Add("*?*", "")
	f.Add("*a*b*", "aXbXaXb")
	f.Add("docker.io/*/web:?", "docker.io/a/b/web:1")
	f.Add("[::1]:5000/*", "[::1]:5000/a")
	f.Fuzz(func(t *testing.T, glob, name string) {
		p, err := ParseImage(glob)
		if err != nil || len(name) > 1<<10 {
			return
		}
		// Bytes, as patterns see them; "?" is any one byte.
		expr := "(?s)^" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(glob)) + "$"
		ascii := strings.Map(func(r rune) rune {
			if r > 0x7f {
				return 'x'
			}
			return r
		}, name)
		if got, want := p.matches(ascii), regexp.MustCompile(expr).MatchString(ascii); got != want {
			t.Errorf("pattern %q on %q = %v, want %v", glob, ascii, got, want)
		}
	})
}

// Whatever a runtime calls an image, it is on the list of everything, and on the
// list of its own names.
func FuzzImage(f *testing.F) {
	f.Add("docker.io/library/nginx:1.27")
	f.Add("registry.example:5000/a/b@" + digest)
	f.Add("docker.io/")
	f.Add("/")
	f.Add(":@")
	f.Fuzz(func(t *testing.T, ref string) {
		c := image(ref)
		names := images(&c)
		if (len(names) == 0) != (c.ImageName == "") {
			t.Fatalf("%q: names %q", ref, names)
		}
		for _, name := range names {
			if name == "" {
				t.Errorf("%q: an empty name", ref)
			}
			if p, err := ParseImage(name); err == nil && !(Match{Rule: Rule{Images: []Pattern{p}}}).Matches(c) {
				t.Errorf("%q is not on the list %q", ref, name)
			}
		}
		if everything, _ := ParseImage("*"); len(names) > 0 && !(Match{Rule: Rule{Images: []Pattern{everything}}}).Matches(c) {
			t.Errorf("%q is not on the list of everything", ref)
		}
	})
}

// A pattern made to be slow.
func BenchmarkPattern(b *testing.B) {
	p := Pattern{glob: strings.Repeat("*a", maxImage/2)}
	name := strings.Repeat("a", 1<<10) + "b"
	for b.Loop() {
		p.matches(name)
	}
}
