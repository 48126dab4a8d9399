//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
	"github.com/beesting-otel/beesting/test/runtime/image"
)

// The namespaces of the pods that planting is tried on; each has tokens of its own.
const (
	nsCells     = "cells"   // one token of each strategy
	nsRunning   = "running" // one that finds its containers running
	nsExists    = "exists"  // one of each, where the image has a file
	nsOverwrite = "overwrite"
)

// keys is where the tokens are planted; no image has it.
const keys = "/srv/keys/"

// imagesOwn is in the files that the image has at the paths of nsExists.
const imagesOwn = "the image's own\n"

const plantingTokens = `tokens:
  - {name: fence-0, path: /srv/fence-0, content: x, match: {namespaces: [shop]}}
  - {name: fence-1, path: /srv/fence-1, content: x, match: {namespaces: [shop]}}
  - {name: fence-2, path: /srv/fence-2, content: x, match: {namespaces: [shop]}}
  - {name: fence-3, path: /srv/fence-3, content: x, match: {namespaces: [shop]}}
  - {name: bind, kind: aws-credentials, path: /srv/keys/bind, strategy: bind, match: {namespaces: [cells]}}
  - {name: hook, kind: aws-credentials, path: /srv/keys/hook, strategy: hook, match: {namespaces: [cells]}}
  - {name: live, kind: aws-credentials, path: /srv/keys/live, strategy: live, match: {namespaces: [cells]}}
  - {name: running, kind: aws-credentials, path: /srv/keys/running, match: {namespaces: [running]}}
  - {name: exists-bind, path: /etc/issue, content: x, strategy: bind, match: {namespaces: [exists]}}
  - {name: exists-hook, path: /etc/motd, content: x, strategy: hook, match: {namespaces: [exists]}}
  - {name: exists-live, path: /etc/networks, content: x, strategy: live, match: {namespaces: [exists]}}
  - {name: over-bind, path: /etc/issue, content: over-bind, strategy: bind, overwrite: true, match: {namespaces: [overwrite]}}
  - {name: over-hook, path: /etc/motd, content: over-hook, strategy: hook, overwrite: true, match: {namespaces: [overwrite]}}
  - {name: over-live, path: /etc/networks, content: over-live, strategy: live, overwrite: true, match: {namespaces: [overwrite]}}
`

const plantingMatch = `match: {namespaces: [shop, cells, running, exists, overwrite, reload]}
`

// planting is what the scenarios of TestPlanting share.
type planting struct {
	*suite
	rows    []*plantRow
	running map[*plantRow]*box // made before there was an agent
}

// TestPlanting tries each way to plant on each kind of container.
func TestPlanting(t *testing.T) {
	s := &planting{suite: suiteOf(t, plantingTokens+plantingMatch), rows: plantRows(), running: map[*plantRow]*box{}}
	for i := range 4 {
		s.fencePaths = append(s.fencePaths, fmt.Sprintf("/srv/fence-%d", i))
	}
	t.Cleanup(func() {
		if s.agent != nil {
			_ = s.agent.Kill()
		}
	})
	s.refusals(t)
	for _, row := range s.rows {
		if row.refused == "" {
			s.running[row] = s.cellBox(t, row, nsRunning)
		}
	}
	s.startAgent(t)
	s.startFence(t)
	type scenario struct {
		name string
		run  func(*planting, *testing.T)
	}
	scenarios := []scenario{
		{"Matrix", (*planting).matrix},
		{"Exists", (*planting).exists},
		{"Overwrite", (*planting).overwrite},
		{"Reload", (*planting).reload},
		{"KilledBetween", (*planting).killedBetween},
		{"Reboot", (*planting).reboot},
	}
	if !s.node.Old() { // which has no validator that could forbid them
		scenarios = append(scenarios, scenario{"HooksForbidden", (*planting).hooksForbidden})
	}
	for _, sc := range scenarios {
		ok := t.Run(sc.name, func(t *testing.T) {
			begin := time.Now()
			sc.run(s, t)
			s.nothingUnclaimed(t)
			t.Logf("took %.1f s", time.Since(begin).Seconds())
		})
		if !ok {
			t.Log(s.agent.LogTail())
			s.forgive(t)
		}
	}
	s.uninstall(t)
}

// plantRow is a kind of container.
type plantRow struct {
	name    string
	pod     pod
	refused string // why this runtime makes none, with or without tokens
}

// userIDs is the first id of the node that a pod with a user namespace gets.
const userIDs = 1 << 20

// appUser is the user of all these containers: a token has to be its own.
const appUser = 1000

func plantRows() []*plantRow {
	sleep := []string{"sleep", "36000"}
	return []*plantRow{
		{name: "busybox image", pod: pod{command: sleep}},
		{name: "scratch image, one static program", pod: pod{image: image.Scratch, command: []string{"/pause"}}},
		{name: "read-only root", pod: pod{command: sleep, readOnly: true}},
		{name: "user namespace", pod: pod{command: sleep, hostIDs: userIDs}},
		{name: "host's PIDs and network", pod: pod{command: sleep, hostPID: true}},
	}
}

// refusals finds out which kinds of containers the runtime doesn't make, before
// there is an agent that it could be due to.
func (s *planting) refusals(t *testing.T) {
	t.Helper()
	for _, row := range s.rows {
		if row.pod.hostIDs == 0 {
			continue
		}
		p := row.pod
		p.ns, p.name = "default", "possible"
		b, err := s.tryRun(t.Context(), p)
		if err == nil {
			s.remove(t, b)
			continue
		}
		row.refused = "refused by the runtime"
		t.Logf("no container with %s: %v", row.name, err)
	}
}

// user is whose the containers and their tokens are. An older runtime's NRI doesn't
// tell, and then tokens are root's.
func (s *planting) user() int64 {
	if s.node.Old() {
		return 0
	}
	return appUser
}

// cellBox runs a container of a row.
func (s *planting) cellBox(t *testing.T, row *plantRow, ns string) *box {
	t.Helper()
	p := row.pod
	p.ns, p.name, p.user = ns, fmt.Sprintf("%s-%d", ns, s.pods), s.user()
	b := s.run(t, p)
	s.mustRun(t, b)
	return b
}

// cell is one strategy in one container.
type cell struct {
	row   *plantRow
	box   *box
	token string
	text  string // of the table
	there bool
}

// matrix plants in every way in every kind of container, has the container's own
// user touch each token once, and writes down what came of it.
func (s *planting) matrix(t *testing.T) {
	columns := []string{"bind", "hook", "live", "running"}
	var cells []*cell
	for _, row := range s.rows {
		var made *box
		if row.refused == "" {
			made = s.cellBox(t, row, nsCells)
		}
		for _, token := range columns {
			c := &cell{row: row, box: made, token: token, text: row.refused}
			if token == "running" {
				c.box = s.running[row]
			}
			cells = append(cells, c)
		}
	}
	touched := map[string]*cell{}
	for _, c := range cells {
		if c.box == nil {
			continue
		}
		s.settle(t, c)
		if c.there {
			s.lookAt(t, c)
			touched[c.box.id+" "+c.token] = c
		}
	}
	s.looksTold(t, touched)
	for _, c := range touched {
		s.read(t, c.box, keys+c.token)
	}
	s.onceEach(t, touched)
	s.matrixText(t, columns, cells)
}

// settle waits until the status tells what became of a cell.
func (s *planting) settle(t *testing.T, c *cell) {
	t.Helper()
	p, why := s.outcome(t, c.box, c.token)
	want := c.token
	if want == "running" {
		want = "live"
	}
	switch {
	case p.Token == "":
		c.text = "– " + strings.ReplaceAll(why.Error, c.box.id, "ID")
		return
	case p.Strategy == want:
		c.text = "●"
	default:
		reason := strings.ReplaceAll(p.Reason, "hook for container "+c.box.id+": ", "")
		c.text = fmt.Sprintf("● by `%s`: %s", p.Strategy, reason)
	}
	c.there = true
}

// outcome waits until a container has a token, or the status says why not.
func (s *planting) outcome(t *testing.T, b *box, token string) (p agentproc.Placement, why agentproc.Failure) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := s.agent.WaitStatus(ctx, "what becomes of token "+token+" in pod "+b.spec.Name, func(st agentproc.Status) bool {
		var ok bool
		p, ok = st.Placement(b.id, token)
		if ok = ok && p.Strategy != ""; !ok { // it is watched before it is mounted
			p = agentproc.Placement{}
		}
		why = st.WhyNot(b.id, token)
		return ok || why.Error != ""
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, s.agent.LogTail())
	}
	return p, why
}

// lookAt checks what a token looks like: whose it is, and what tells of it.
func (s *planting) lookAt(t *testing.T, c *cell) {
	t.Helper()
	dir, err := s.node.CgroupDir(c.box.spec.UID, c.box.id)
	if err != nil {
		t.Fatal(err)
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(procs), "\n")
	if c.box.pid, err = strconv.ParseInt(first, 10, 64); err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", c.box.pid))
	if err != nil {
		t.Fatal(err)
	}
	path := keys + c.token
	hooked := c.text == "●" && c.token == "hook"
	if told := strings.Contains(string(mounts), " "+path+" "); told == hooked {
		t.Errorf("%s, %s: a mount at %s: %t", c.row.name, c.token, path, told)
	}
	if c.row.pod.image != "" {
		return // nothing in it could tell the owner
	}
	r, err := s.node.CRI().Exec(t.Context(), c.box.id, "stat", "-c", "%u:%g %a", path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(r.Stdout)), fmt.Sprintf("%d:%d 600", s.user(), s.user()); got != want {
		t.Errorf("%s, %s: owner and mode are %q %s, want %q", c.row.name, c.token, got, r.Stderr, want)
	}
}

// looksTold takes the looks as known.
func (s *planting) looksTold(t *testing.T, touched map[string]*cell) {
	t.Helper()
	n := 0
	for _, c := range touched {
		if c.row.pod.image == "" {
			n++
		}
	}
	s.expect(t, n, func(r agentproc.Record) bool {
		return r.Text("honeytoken.access.kind") == "stat" && r.Text("process.executable.name") == "busybox"
	})
}

// read opens a file of a container, once, from within.
func (s *planting) read(t *testing.T, b *box, path string) {
	t.Helper()
	if b.image == image.Scratch {
		s.exec(t, b, "/first", path)
		return
	}
	if got := s.exec(t, b, "cat", path); got == "" {
		t.Errorf("%s in pod %s is empty", path, b.spec.Name)
	}
}

// onceEach waits for one access of each token that was touched, and no other.
func (s *planting) onceEach(t *testing.T, touched map[string]*cell) {
	t.Helper()
	owns := func(r agentproc.Record) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(touched)), func(c *cell) bool { return c.box.owns(r) })
	}
	status, err := s.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	times := map[string]int{}
	for _, r := range s.expect(t, len(touched), owns) {
		key := r.Text("container.id") + " " + r.Text("honeytoken.name")
		times[key]++
		c, ok := touched[key]
		if !ok {
			t.Errorf("an access that nobody made: %s", r.Body)
			continue
		}
		p, _ := status.Placement(c.box.id, c.token)
		if got := r.Text("honeytoken.id"); got == "" || got != p.TokenID {
			t.Errorf("honeytoken.id is %q, and the status has %q", got, p.TokenID)
		}
		if r.Text("honeytoken.access.kind") != "open" || r.Text("honeytoken.actor.class") != "workload" || r.Text("k8s.pod.name") != c.box.spec.Name {
			t.Errorf("%s, %s: %+v", c.row.name, c.token, r)
		}
	}
	for key, c := range touched {
		if times[key] != 1 {
			t.Errorf("%s, %s: %d accesses", c.row.name, c.token, times[key])
		}
	}
}

// oldCells are four ways in each row but that of the user namespace, which needs
// a newer runtime.
const oldCells = 16

// matrixText compares the table with the one in the documentation.
func (s *planting) matrixText(t *testing.T, columns []string, cells []*cell) {
	t.Helper()
	text := "| | `bind` | `hook` | `live`, at the start | `live`, while it runs |\n|---|---|---|---|---|\n"
	for i, c := range cells {
		if i%len(columns) == 0 {
			text += "| " + c.row.name
		}
		text += " | " + c.text
		if i%len(columns) == len(columns)-1 {
			text += " |\n"
		}
	}
	if s.node.Old() {
		t.Logf("on the older runtime:\n%s", text)
		if n := strings.Count(text, "●"); n < oldCells {
			t.Errorf("%d of the cells have a token, want %d", n, oldCells)
		}
		return
	}
	goldenText(t, "planting-matrix.md", text)
}
