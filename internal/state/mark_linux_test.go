package state

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestMark(t *testing.T) {
	d := open(t, t.TempDir())
	if _, ok, err := d.Marked("b1"); ok || err != nil {
		t.Errorf("without a mark: %v, %v", ok, err)
	}
	for _, at := range []time.Duration{time.Hour, 2 * time.Hour} {
		if err := d.Mark("b1", at); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := d.Marked("b1"); got != at || !ok || err != nil {
			t.Errorf("got %v, %v, %v, want %v", got, ok, err, at)
		}
	}
	if _, ok, err := d.Marked("b2"); ok || err != nil {
		t.Errorf("in another boot: %v, %v", ok, err)
	}
	for _, text := range []string{"", "b1", "b1 x", "b1 -1", "b1 99999999999999999999"} {
		if err := os.WriteFile(filepath.Join(d.Path(), "watched"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := d.Marked("b1"); ok || err == nil {
			t.Errorf("%q: %v, %v, %v", text, got, ok, err)
		}
	}
}
