package cases

import "testing"

func TestExpectations(t *testing.T) {
	c := Case{Name: "x", Kinds: "open_path exec@child/open@child x2 open!EACCES^recon x50", Overlay: ""}
	terms, err := c.Expect(FormBind, "lsm", "6.1")
	if err != nil {
		t.Fatal(err)
	}
	all := func(string) bool { return true }
	tests := []struct {
		seen    func(string) bool
		recon   bool
		want    string
		dropped int
	}{
		{all, true, "exec@child×2 open!EACCES×50 open_path", 0},
		{all, false, "exec@child×2 open_path", 1},
		{func(k string) bool { return k == "open" }, false, "open@child×2", 2},
	}
	for _, tt := range tests {
		got, dropped := Want(terms, tt.seen, tt.recon)
		if got.String() != tt.want || dropped != tt.dropped {
			t.Errorf("got %q and %d dropped, want %q and %d", got, dropped, tt.want, tt.dropped)
		}
	}
	if terms, err := c.Expect(FormOverlay, "lsm", "6.1"); err != nil || len(terms) != 0 {
		t.Errorf("overlay: %v, %v", terms, err)
	}
	if _, err := (Case{Kinds: "opne"}).Expect(FormBind, "", "6.1"); err == nil {
		t.Error("a kind that is none")
	}
}

func TestJudge(t *testing.T) {
	open, denied := Tally{{Kind: "open"}: 1}, Tally{{Kind: "open", Errno: "EACCES"}: 1}
	tests := []struct {
		name       string
		want, got  Tally
		dropped    int
		documented bool
		verdict    Verdict
	}{
		{"as expected", open, open, 0, false, OK},
		{"the rest documented", open, open, 1, false, Part},
		{"nothing, by coverage", Tally{}, Tally{}, 1, false, Cant},
		{"nothing, by the case", Tally{}, Tally{}, 0, true, Cant},
		{"nothing to tell", Tally{}, Tally{}, 0, false, None},
		{"refusal not told", denied, open, 0, false, Outcome},
		{"missing", open, Tally{}, 0, false, Wrong},
		{"unexpected", Tally{}, open, 1, true, Wrong},
		{"twice", open, Tally{{Kind: "open"}: 2}, 0, false, Wrong},
		{"by another", open, Tally{{Kind: "open", Child: true}: 1}, 0, false, Wrong},
	}
	for _, tt := range tests {
		if v := Judge(tt.want, tt.got, tt.dropped, tt.documented); v != tt.verdict {
			t.Errorf("%s: got %s, want %s", tt.name, v, tt.verdict)
		}
	}
}

func TestLacking(t *testing.T) {
	for release, want := range map[string]bool{"5.10.0-46-cloud-amd64": true, "6.6.1": false, "6.12.117+deb13": false, "7.3.4": false} {
		if got := (Case{Since: "6.6"}).Lacking(release); got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
}
