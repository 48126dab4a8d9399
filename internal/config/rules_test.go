package config

import (
	"strings"
	"testing"
	"time"
)

// The edges of every rule: what is just right, and what just isn't.
func TestRules(t *testing.T) {
	long := strings.Repeat("x", 300)
	rules := map[string]struct {
		check      func(string) error
		right, bad []string
	}{
		"text":           {CheckText, []string{"", "a\nb"}, []string{"a\x00"}},
		"one of":         {func(s string) error { return CheckOneOf(s, SensorModes()) }, SensorModes(), []string{"", "LSM", "auto "}},
		"integer":        {func(s string) error { _, err := ParseInteger(s, 1, 9); return err }, []string{"1", "9", "09"}, []string{"0", "10", "", "1.0", "0x1", "1e0", " 1", "99999999999999999999"}},
		"size":           {func(s string) error { _, err := ParseSize(s, 4096, 1<<30); return err }, []string{"4096", "4KiB", "4 KiB", "1GiB", "1024MiB", "1073741824"}, []string{"4095", "3KiB", "1073741825", "2GiB", "1025MiB", "-4KiB", "4kib", "4KB", "KiB", "", "1.5MiB", "18014398509481984KiB"}},
		"duration":       {func(s string) error { _, err := ParseDuration(s, time.Second, time.Hour); return err }, []string{"1s", "1h", "3600s", "1m0.5s"}, []string{"", "1", "999ms", "1h1ns", "-1s", "1d", "1 s"}},
		"bool":           {func(s string) error { _, err := ParseBool(s); return err }, []string{"true", "false"}, []string{"", "yes", "True", "1"}},
		"pin":            {func(s string) error { _, err := CleanPin(s); return err }, []string{"", "/a", "/sys/fs/bpf/"}, []string{"/", "/..", "a"}},
		"cgroup":         {func(s string) error { _, err := CleanCgroup(s); return err }, []string{"/system.slice/backup.service", "/a/", "/sys/fs/cgroups"}, []string{"", "/", "/..", "a", "/sys/fs/cgroup", "/sys/fs/cgroup/a", "/sys//fs/cgroup/a"}},
		"exempt count":   {func(s string) error { return CheckExemptCount(len(s)) }, []string{"", long[:64]}, []string{long[:65]}},
		"mode":           {func(s string) error { _, err := ParseMode(s); return err }, []string{"0", "0000", "0777", "0o600", "00644"}, []string{"", "644", "01000", "04755", "0800", "-0600", "o600", "0x1ff", "rw-r--r--"}},
		"path":           {func(s string) error { _, err := CleanAbsolute(s); return err }, []string{"/", "/a/../b"}, []string{"", "a", "./a", "~/a", `C:\a`}},
		"socket":         {func(s string) error { _, err := CleanSocket(s); return err }, []string{"/" + long[:106], "/a/../" + long[:106]}, []string{"/" + long[:107], "a"}},
		"state dir":      {func(s string) error { _, err := CleanStateDir(s); return err }, []string{"/a"}, []string{"/", "/..", "/a/..", "a"}},
		"node name":      {CheckNodeName, []string{"a", "A.b_c-1", long[:253]}, []string{"", " ", "a b", "a\n", "ä", long[:254], "\x7f"}},
		"name":           {CheckName, []string{"a", "a-1", long[:63]}, []string{"", "A", "-a", "a-", "a_b", long[:64]}},
		"token path":     {CheckTokenPath, []string{"/a", "/a b/ä"}, []string{"", "a", "/", "/a/", "//a", "/a/../b", "/a\x00", "/\xff"}},
		"content":        {func(s string) error { return CheckContent([]byte(s)) }, []string{"", strings.Repeat("x", 1<<20)}, []string{strings.Repeat("x", 1<<20+1)}},
		"plugin index":   {CheckPluginIndex, []string{"00", "05", "99"}, []string{"", "5", "100", "a0", "-1", "٠١"}},
		"namespace":      {func(s string) error { _, err := ParseNamespace(s); return err }, []string{"*", "web-?", long[:63]}, []string{"", "Web", long[:64]}},
		"container":      {func(s string) error { _, err := ParseContainer(s); return err }, []string{"*", "web-?", long[:63]}, []string{"", "Web", "a.b", long[:64]}},
		"image":          {func(s string) error { _, err := ParseImage(s); return err }, []string{"*", "a/b_c.d:E@sha256:0", "[::1]:5000/a", long}, []string{"", "a b", "http://a", long + long}},
		"annotation":     {func(s string) error { _, err := ParseAnnotation(s, "optIn"); return err }, []string{"a", "A.example/b", long[:63]}, []string{"", "a b", "a/", "/a", "a/b/c"}},
		"label key":      {CheckLabelKey, []string{"team", "app.kubernetes.io/name", long[:63]}, []string{"", "a b", "/a", "a/", long[:64], "A.b/c"}},
		"annotation key": {CheckAnnotationKey, []string{"a", "A.example/b"}, []string{"", "a b", "a/b/c"}},
		"pod keys":       {func(s string) error { return CheckPodKeys(len(s), MaxPodLabels) }, []string{"", long[:32]}, []string{long[:33]}},
		"token count":    {func(s string) error { return CheckTokenCount(len(s)) }, []string{"1", long[:64]}, []string{"", long[:65]}},
	}
	for name, rule := range rules {
		for _, s := range rule.right {
			if err := rule.check(s); err != nil {
				t.Errorf("%s: %.80q: %v", name, s, err)
			}
		}
		for _, s := range rule.bad {
			if err := rule.check(s); err == nil {
				t.Errorf("%s: %.80q passes", name, s)
			} else if len(err.Error()) > 300 {
				t.Errorf("%s: %.80q: an error of %d bytes", name, s, len(err.Error()))
			}
		}
	}
}

func TestCheckPath(t *testing.T) {
	for _, tt := range []struct{ path, earlier, want string }{
		{"/a", "/a", `"/a" is already used by it`},
		{"/a/b/c", "/a", `"/a/b/c" lies below the path of it, which is a file`},
		{"/a", "/a/b", `"/a" lies above the path of it, and so would be a directory`},
		{"/ab", "/a", ""}, {"/a", "/ab", ""}, {"/a/b", "/a/c", ""},
	} {
		got := ""
		if err := CheckPath(tt.path, tt.earlier, "it"); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s after %s: %s, want %s", tt.path, tt.earlier, got, tt.want)
		}
	}
}

func TestSizeText(t *testing.T) {
	for n, want := range map[int]string{0: "0", 1: "1", 1023: "1023", 4096: "4KiB", 4 << 20: "4MiB", 5 << 30: "5GiB", 1<<20 + 1: "1048577", -4096: "-4096"} {
		if got := SizeText(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestDurationText(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", time.Second: "1s", time.Minute: "1m", 90 * time.Second: "1m30s",
		time.Hour: "1h", 24 * time.Hour: "24h", time.Hour + time.Second: "1h0m1s", 100 * time.Millisecond: "100ms"} {
		if got := DurationText(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// The key table as others see it holds every key once.
func TestKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Keys() {
		if seen[k.Path] || k.Doc == "" || k.Form == "" {
			t.Errorf("key %+v", k)
		}
		seen[k.Path] = true
		if !strings.Contains(Reference(), "### `"+k.Path+"`\n") {
			t.Errorf("key %s is not in the reference", k.Path)
		}
	}
	if n := strings.Count(Reference(), "\n### "); n != len(seen) {
		t.Errorf("%d keys, the reference has %d", len(seen), n)
	}
}
