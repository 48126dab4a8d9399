package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// changed loads the file at path, changes something, and says whether the source
// is another one.
func changed(t *testing.T, path string, change func()) bool {
	t.Helper()
	_, before, _ := LoadSource(path, environment(nil))
	if !before.Now().Equal(before) || before.Now().Hash() != before.Hash() {
		t.Error("changed by itself")
	}
	change()
	now := before.Now()
	if now.Equal(before) != (now.Hash() == before.Hash()) {
		t.Error("Equal and Hash disagree")
	}
	return !now.Equal(before)
}

func TestSource(t *testing.T) {
	dir := t.TempDir()
	path, content := filepath.Join(dir, "beesting.yaml"), filepath.Join(dir, "secret")
	replace := func(name, data string) func() {
		return func() {
			write(t, name+".new", data)
			if err := os.Rename(name+".new", name); err != nil {
				t.Fatal(err)
			}
		}
	}
	const text = "tokens: [{name: a, path: /a, contentFile: secret}]\nmatch: {}\n"
	steps := []struct {
		what   string
		change func()
		want   bool
	}{
		{"made", replace(path, text), true},
		{"content made", replace(content, "x"), true},
		{"nothing", func() {}, false},
		{"replaced by the same", replace(path, text), false},
		{"written again", func() { write(t, path, text) }, false},
		{"content of the same size", func() { write(t, content, "y") }, true},
		{"another file", func() { write(t, filepath.Join(dir, "other"), "y") }, false},
		{"mistake", replace(path, "tokens: [{name: a, path: /a, contentFile: secret, x: y}]\n"), true},
		{"content beside a mistake", func() { write(t, content, "z") }, true},
		{"not YAML", replace(path, "{"), true},
		{"content that is not asked for", func() { write(t, content, "u") }, false},
		{"too large", replace(path, strings.Repeat("#", MaxFile+1)), true},
		{"right again", replace(path, text), true},
		{"content removed", func() { _ = os.Remove(content) }, true},
		{"content is a directory", func() { _ = os.Mkdir(content, 0o700) }, true},
		{"removed", func() { _ = os.Remove(path) }, true},
	}
	for _, s := range steps {
		if got := changed(t, path, s.change); got != s.want {
			t.Errorf("%s: changed = %v", s.what, got)
		}
	}
}

// A Kubernetes ConfigMap is a link to a link to a directory that is replaced.
func TestSourceOfConfigMap(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"..1/f": smallest, "..2/f": smallest + "# two\n"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name), text)
	}
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("..1", "..data")
	link("..data/f", "f")
	if !changed(t, filepath.Join(dir, "f"), func() {
		link("..2", "..data_tmp")
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}) {
		t.Error("a swapped link is no change")
	}
}

// Every field of a configuration either needs a restart or is one of those that
// are applied at once.
func TestNeedRestartHasEveryField(t *testing.T) {
	atOnce := []string{"Tokens", "Match", "TokenMatch", "Log.Level"}
	var reached int
	var walk func(prefix string, at func(*Config) reflect.Value)
	walk = func(prefix string, at func(*Config) reflect.Value) {
		for i := range at(&Config{}).NumField() {
			name := prefix + at(&Config{}).Type().Field(i).Name
			field := func(c *Config) reflect.Value { return at(c).Field(i) }
			if f := field(&Config{}); f.Kind() == reflect.Struct && !slices.Contains(atOnce, name) {
				walk(name+".", field)
				continue
			}
			if slices.Contains(atOnce, name) {
				continue
			}
			var next Config
			set(t, name, field(&next))
			if got := NeedRestart(Config{}, next); len(got) != 1 || !strings.EqualFold(got[0], name) {
				t.Errorf("%s: %v", name, got)
			}
			reached++
		}
	}
	walk("", func(c *Config) reflect.Value { return reflect.ValueOf(c).Elem() })
	if reached != len(restartRows) {
		t.Errorf("%d fields for %d rows", reached, len(restartRows))
	}
	c := mustParse(t, smallest, nil)
	next := mustParse(t, strings.Replace(smallest, "name: a", "name: b, match: {containers: [x]}", 1)+"log: {level: debug}\n", nil)
	if got := NeedRestart(c, next); got != nil {
		t.Errorf("tokens, match and level need a restart: %v", got)
	}
	var known []string
	for _, k := range Keys() {
		known = append(known, k.Path)
	}
	for _, row := range restartRows {
		if !slices.Contains(known, row.key) {
			t.Errorf("%s is no key", row.key)
		}
	}
}

// set gives a field a value that isn't its zero one.
func set(t *testing.T, name string, f reflect.Value) {
	t.Helper()
	switch f.Kind() {
	case reflect.String:
		f.SetString("x")
	case reflect.Int, reflect.Int64:
		f.SetInt(7)
	case reflect.Bool:
		f.SetBool(true)
	case reflect.Slice:
		f.Set(reflect.MakeSlice(f.Type(), 1, 1))
	default:
		t.Fatalf("%s is a %v: the test must learn to set it", name, f.Kind())
	}
}
