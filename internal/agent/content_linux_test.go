package agent

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/content"
)

// madeTokens are two whose content is made, and one that says its own.
func madeTokens() []beesting.Token {
	return []beesting.Token{
		{Name: "ssh", Kind: "ssh-private-key", Path: "/root/.ssh/id_ed25519", Mode: 0o600, Generate: true},
		{Name: "conf", Kind: "generic", Path: "/etc/app.conf", Mode: 0o644, Generate: true,
			Template: "{{.Namespace}}/{{.Pod}}/{{.Container}} {{password}} {{value \"x\"}}", Values: map[string]string{"x": "mine"}},
		{Name: "own", Kind: "npmrc", Path: "/root/.npmrc", Mode: 0o644, Content: []byte("as it is")},
	}
}

// planted reads what a container's tokens hold, by path.
func (n *testNode) planted(id string) map[string][]byte {
	n.t.Helper()
	c := testContainer(id)
	out := map[string][]byte{}
	for _, m := range n.create(&c) {
		data, err := os.ReadFile(m.Source)
		if err != nil {
			n.t.Fatal(err)
		}
		st, err := os.Stat(m.Source)
		if err != nil {
			n.t.Fatal(err)
		}
		if age := time.Since(st.ModTime()); age < 4*24*time.Hour || age > 201*24*time.Hour {
			n.t.Errorf("%s: written %v ago", m.Destination, age)
		}
		out[m.Destination] = data
	}
	return out
}

func TestMadeContent(t *testing.T) {
	n := newNode(t)
	n.tokens = madeTokens()
	one, two := n.planted("c1"), n.planted("c2")
	if len(one) != 3 || len(two) != 3 {
		t.Fatalf("planted %d and %d: %v", len(one), len(two), n.reasons())
	}
	for _, path := range []string{"/root/.ssh/id_ed25519", "/etc/app.conf"} {
		if bytes.Equal(one[path], two[path]) {
			t.Errorf("%s: the same in two containers", path)
		}
	}
	if string(one["/root/.npmrc"]) != "as it is" {
		t.Errorf("own content = %q", one["/root/.npmrc"])
	}
	if text := string(one["/etc/app.conf"]); !strings.HasPrefix(text, "shop/web-0/web ") || !strings.HasSuffix(text, " mine") {
		t.Errorf("template gave %q", text)
	}
}

// A stolen secret leads to its container: while it runs, and after a restart of
// the agent from the record alone.
func TestTrace(t *testing.T) {
	n := newNode(t)
	n.tokens = madeTokens()
	c := testContainer("c1")
	n.create(&c)
	n.run(&c, 4242)
	n.agent.Start(t.Context(), c)
	stolen, err := os.ReadFile(c.Mounts[len(c.Mounts)-3].Source)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, f := range content.Trace(stolen) {
		ids = append(ids, f.ID)
	}
	check := func(present bool) {
		t.Helper()
		got := n.agent.Trace(ids)
		if len(got) != 1 {
			t.Fatalf("%d found", len(got))
		}
		r := got[0]
		if r.Token != "ssh" || r.Kind != "ssh-private-key" || r.Container != "c1" || r.ContainerName != "web" || r.Pod != "web-0" ||
			r.Namespace != "shop" || r.Path != "/root/.ssh/id_ed25519" || r.PlantedAt.IsZero() || r.Present != present {
			t.Errorf("found %+v", r)
		}
	}
	check(true)
	n.restart() // it has not heard of the container yet
	n.tokens = madeTokens()
	check(false)

	whole := n.agent.identity.TokenID("c1", "conf")
	if got := n.agent.Trace([]string{whole[:minTraced], "short", whole, strings.Repeat("a", 26)}); len(got) != 1 || got[0].TokenID != whole {
		t.Errorf("by its beginning: %+v", got)
	}
	if got := n.agent.Trace([]string{whole[:minTraced-1]}); got == nil || len(got) != 0 {
		t.Errorf("by too little of it: %+v", got)
	}
}

// What can't be made is left out, and said.
func TestContentThatCantBeMade(t *testing.T) {
	n := newNode(t)
	n.tokens = []beesting.Token{{Name: "a", Kind: "nonsense", Path: "/a", Mode: 0o644, Generate: true}, awsToken()}
	c := testContainer("c1")
	if mounts := n.create(&c); len(mounts) != 1 || n.reasons()[ReasonContent] != 1 {
		t.Errorf("%d mounts, %v", len(mounts), n.reasons())
	}
}

func TestSeedsDiffer(t *testing.T) {
	i := NewIdentity([]byte("key"))
	seen := map[[32]byte]bool{i.nodeSeed(): true, NewIdentity([]byte("other")).nodeSeed(): true}
	for _, s := range [][32]byte{i.Seed("c", "t"), i.Seed("c", "u"), i.Seed("d", "t"), i.Seed("ct", ""), NewIdentity([]byte("other")).Seed("c", "t")} {
		if seen[s] {
			t.Error("a seed twice")
		}
		seen[s] = true
	}
}
