package state

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
)

// oldDir makes a state directory of the first layout.
func oldDir(t testing.TB, records map[string]string) string {
	t.Helper()
	path := t.TempDir()
	if err := os.Mkdir(filepath.Join(path, oldRecords), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range records {
		if err := os.WriteFile(filepath.Join(path, oldRecords, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

const oldRecord = `{"container":"c1","tokens":[{"name":"aws","kind":"k","path":"/p","file":"/f","planted_at":"2026-01-02T03:04:05Z"}],"name":"web","namespace":"shop"}`

func TestMigration(t *testing.T) {
	path := oldDir(t, map[string]string{"c1.json": oldRecord, "c2.json": "{}", ".tmp-7": "{", "bad.json": "{"})
	must(t, os.Symlink("/etc/passwd", filepath.Join(path, oldRecords, "link.json")))
	var log strings.Builder
	d := openWith(t, path, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for range 2 {
		r, err := d.Record("c1")
		want := Token{Name: "aws", Kind: "k", Strategy: beesting.StrategyBind, Path: "/p", File: "/f", PlantedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
		if err != nil || len(r.Tokens) != 1 || !reflect.DeepEqual(r.Tokens[0], want) || r.Name != "web" || r.Namespace != "shop" {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := d.Record("c2"); err != nil {
			t.Error(err)
		}
		if s := d.Stats(); s.Containers != 2 {
			t.Errorf("%+v", s)
		}
		must(t, d.Close())
		d = open(t, path)
	}
	left, err := filepath.Glob(filepath.Join(path, oldRecords, "*"))
	if err != nil || len(left) != 2 || filepath.Base(left[0]) != "bad.json.damaged" || filepath.Base(left[1]) != "link.json.damaged" {
		t.Errorf("left: %v, %v", left, err)
	}
	if n := strings.Count(log.String(), "makes no sense"); n != 2 {
		t.Errorf("log:\n%s", log.String())
	}
}

func TestMigrationLeavesNoDirectory(t *testing.T) {
	path := oldDir(t, map[string]string{"c1.json": oldRecord})
	must(t, open(t, path).Close())
	if _, err := os.Stat(filepath.Join(path, oldRecords)); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// Until the database has them the old files stay; what was imported before a
// crash is not imported again over what came later.
func TestMigrationIsAtomic(t *testing.T) {
	path := oldDir(t, map[string]string{"c1.json": oldRecord})
	release := hold(t, path)
	d := open(t, path)
	eventually(t, d, "failure", func(s Stats) bool { return s.FailedCommits > 0 })
	old := filepath.Join(path, oldRecords, "c1.json")
	if _, err := os.Stat(old); err != nil {
		t.Error(err)
	}
	if err := d.Close(); err == nil {
		t.Error("closed as if it were committed")
	}
	release()
	if _, err := os.Stat(old); err != nil {
		t.Error(err)
	}
	d = open(t, path)
	must(t, d.WriteRecord(planting("c1", tokenID("x"))), d.Close())
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error(err)
	}
	must(t, os.Mkdir(filepath.Dir(old), 0o700), os.WriteFile(old, []byte(oldRecord), 0o600))
	d = open(t, path)
	if r, err := d.Record("c1"); err != nil || r.Tokens[0].ID == "" {
		t.Errorf("%+v, %v", r, err)
	}
	must(t, d.Close())
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// FuzzMigrate: whatever an old record holds, it is imported as it would have
// been read, or kept under another name.
func FuzzMigrate(f *testing.F) {
	for _, s := range []string{oldRecord, "", "{", "null", "[]", `{"container":"../../etc"}`, `{"container":"\u0000"}`, `{"container":"` + strings.Repeat("x", 70000) + `","tokens":[{}]}`,
		`{"tokens":[{"placement_id":"-1"}]}`, `{"tokens":null,"removed_at":"0000-01-01T00:00:00Z"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := oldDir(t, map[string]string{"c1.json": string(b)})
		var want Record
		decodes := json.Unmarshal(b, &want) == nil
		if want.Container == "" {
			want.Container = "c1"
		}
		for i := range want.Tokens {
			if want.Tokens[i].Strategy == "" {
				want.Tokens[i].Strategy = beesting.StrategyBind
			}
		}
		for _, when := range []string{"imported", "read again"} {
			d, err := Open(path, Options{CloseTimeout: time.Minute})
			must(t, err)
			got, err := d.Record(want.Container)
			if decodes && (err != nil || fmt.Sprint(got) != fmt.Sprint(want)) {
				t.Errorf("%s: %+v, %v, want %+v", when, got, err, want)
			}
			if n := d.Stats().Containers; (n == 1) != decodes {
				t.Errorf("%s: %d records", when, n)
			}
			must(t, d.Close())
		}
		if _, err := os.Stat(filepath.Join(path, oldRecords, "c1.json")); !os.IsNotExist(err) {
			t.Error(err)
		}
		_, err := os.Stat(filepath.Join(path, oldRecords, "c1.json.damaged"))
		if (err == nil) == decodes || err != nil && !os.IsNotExist(err) {
			t.Errorf("kept: %v, makes sense: %v", err, decodes)
		}
		d, err := Open(path, Options{CloseTimeout: time.Minute})
		must(t, err)
		for _, c := range d.records.containers() {
			must(t, d.RemoveRecord(c))
		}
		must(t, d.Close())
		if c, err := OpenReadOnly(path); err != nil || len(c.live) > 0 {
			t.Errorf("after removal: %+v, %v", c, err)
		}
	})
}
