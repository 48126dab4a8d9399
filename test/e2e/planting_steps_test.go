//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/beesting-otel/beesting/test/runtime/agentproc"
)

// cellTokens are those of nsCells.
var cellTokens = [...]string{"bind", "hook", "live"}

// reachable waits until the status is as wanted.
func (s *planting) reachable(t *testing.T, what string, ok func(agentproc.Status) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.agent.WaitStatus(ctx, what, ok); err != nil {
		t.Fatalf("%v\n%s", err, s.agent.LogTail())
	}
}

// absentBecause waits until the status says that a container has no such token,
// for a reason.
func (s *planting) absentBecause(t *testing.T, b *box, token, reason string) {
	t.Helper()
	s.reachable(t, "token "+token+" of pod "+b.spec.Name+" left out: "+reason, func(st agentproc.Status) bool {
		_, there := st.Placement(b.id, token)
		return !there && st.WhyNot(b.id, token).Reason == reason
	})
}

// planted waits until a container has a token by a strategy.
func (s *planting) planted(t *testing.T, b *box, token, strategy string) (p agentproc.Placement) {
	t.Helper()
	s.reachable(t, "token "+token+" of pod "+b.spec.Name+" by "+strategy, func(st agentproc.Status) bool {
		p, _ = st.Placement(b.id, token)
		return p.Strategy == strategy
	})
	return p
}

// touchOnce reads tokens of nsCells from within, each of which has to be told once.
func (s *planting) touchOnce(t *testing.T, b *box, tokens ...string) {
	t.Helper()
	touched := map[string]*cell{}
	for _, token := range tokens {
		s.read(t, b, keys+token)
		touched[b.id+" "+token] = &cell{row: &plantRow{name: b.spec.Name}, box: b, token: token}
	}
	s.onceEach(t, touched)
}

// exists: a file of the image stays what the container sees, whatever the
// strategy, and its reader is none of a token's.
func (s *planting) exists(t *testing.T) {
	b := s.runForever(t, pod{ns: nsExists, name: "exists"})
	for token, path := range map[string]string{
		"exists-bind": "/etc/issue", "exists-hook": "/etc/motd", "exists-live": "/etc/networks",
	} {
		s.absentBecause(t, b, token, "file_exists")
		if got := s.exec(t, b, "cat", path); got != imagesOwn {
			t.Errorf("%s is %q for token %s", path, got, token)
		}
	}
}

// overwrite: the same files are hidden where that is wanted. A hook hides nothing:
// it would have to destroy the file.
func (s *planting) overwrite(t *testing.T) {
	b := s.runForever(t, pod{ns: nsOverwrite, name: "overwrite"})
	s.planted(t, b, "over-bind", "bind")
	s.planted(t, b, "over-live", "live")
	for token, path := range map[string]string{"over-bind": "/etc/issue", "over-live": "/etc/networks"} {
		if got := s.exec(t, b, "cat", path); got != token {
			t.Errorf("%s is %q, want %q", path, got, token)
		}
	}
	s.absentBecause(t, b, "over-hook", "file_exists")
	if got := s.exec(t, b, "cat", "/etc/motd"); got != imagesOwn {
		t.Errorf("the hook's file is %q", got)
	}
	s.expect(t, 2, b.owns)
}

// reload: a container that runs follows the configuration. One with a mistake
// changes nothing.
func (s *planting) reload(t *testing.T) {
	configure := func(tokens string) {
		t.Helper()
		if err := s.agent.Configure("sensor: {mode: " + *attachMode + "}\n" + tokens + plantingMatch); err != nil {
			t.Fatal(err)
		}
	}
	follows := func(tokens string) {
		t.Helper()
		configure(tokens)
		if code, text, err := s.agent.Reload(t.Context()); code != 0 || err != nil {
			t.Fatalf("reload: exit code %d, %v: %s", code, err, text)
		}
	}
	token := func(content string) string {
		return plantingTokens + "  - {name: added, path: /srv/added, content: " + content + ", match: {namespaces: [reload]}}\n"
	}
	b := s.runForever(t, pod{ns: "reload", name: "follower"})
	s.absent(t, b, "/srv/added")

	follows(token("one"))
	first := s.planted(t, b, "added", "live")
	s.readsOnce(t, b, "one", first)

	follows(token("two"))
	var second agentproc.Placement
	s.reachable(t, "the token with another content", func(st agentproc.Status) bool {
		second, _ = st.Placement(b.id, "added")
		return second.Strategy == "live" && second.PlantedAt != first.PlantedAt
	})
	s.readsOnce(t, b, "two", second)

	configure("tokens: [\n")
	code, text, err := s.agent.Reload(t.Context())
	if code != 1 || err != nil || !strings.Contains(text, "refused") {
		t.Errorf("reload of a mistake: exit code %d, %v: %s", code, err, text)
	}
	status, err := s.agent.Status(t.Context())
	if err != nil || status.Config.LastError == "" || status.Config.Reloads["refused"] == 0 {
		t.Errorf("the status says %+v of a mistake, %v", status.Config, err)
	}
	s.readsOnce(t, b, "two", second)

	follows(plantingTokens)
	s.reachable(t, "the token to go", func(st agentproc.Status) bool {
		_, there := st.Placement(b.id, "added")
		return !there
	})
	s.absent(t, b, "/srv/added")
}

func (s *planting) readsOnce(t *testing.T, b *box, content string, p agentproc.Placement) {
	t.Helper()
	if got := s.exec(t, b, "cat", "/srv/added"); got != content {
		t.Errorf("the token reads %q, want %q", got, content)
	}
	r := s.expect(t, 1, b.owns)[0]
	if r.Text("honeytoken.id") != p.TokenID || r.Text("honeytoken.name") != "added" {
		t.Errorf("the token's id is %q, the status has %+v", r.Text("honeytoken.id"), p)
	}
}

// killedBetween: the agent is killed when a container is created and not started
// yet. The next one starts it with what was mounted and can be mounted; the hook
// found nobody to ask, and has not failed it. What was planted before, in whatever
// way, is found again.
func (s *planting) killedBetween(t *testing.T) {
	whole := s.runForever(t, pod{ns: nsCells, name: "whole"})
	for _, token := range cellTokens {
		s.planted(t, whole, token, token)
	}
	s.nothingUnclaimed(t)
	half := s.create(t, pod{ns: nsCells, name: "half", command: []string{"sleep", "36000"}})
	// Not stayedAttached: what half is to get is planted, and not watched yet.
	s.again(t)
	if err := s.node.CRI().StartContainer(t.Context(), half.id); err != nil {
		t.Fatalf("a container whose hook belongs to an agent that was killed: %v", err)
	}
	s.mustRun(t, half)
	s.planted(t, half, "bind", "bind")
	s.planted(t, half, "live", "live")
	s.absentBecause(t, half, "hook", "not_mounted")
	s.absent(t, half, keys+"hook")
	s.touchOnce(t, half, "bind", "live")
	s.touchOnce(t, whole, cellTokens[:]...)

	s.nothingUnclaimed(t)
	s.again(t)
	s.stayedAttached(t)
	for _, token := range cellTokens {
		s.planted(t, whole, token, token)
	}
	s.touchOnce(t, half, "bind", "live")
	s.touchOnce(t, whole, cellTokens[:]...)
}

// again kills the agent and starts another.
func (s *planting) again(t *testing.T) {
	t.Helper()
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	s.startAgent(t)
	s.bookedLate(t)
}

// reboot: nothing is left but what lies on the disk. New containers get tokens,
// and an old token that turns up is known.
func (s *planting) reboot(t *testing.T) {
	b := s.runForever(t, pod{ns: nsCells, name: "before-reboot"})
	leaked := map[string]string{}
	for _, token := range cellTokens {
		s.planted(t, b, token, token)
		leaked[token] = s.exec(t, b, "cat", keys+token)
	}
	s.expect(t, len(leaked), b.owns)
	s.nothingUnclaimed(t)
	if err := s.agent.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.agent.Uninstall(t.Context()); err != nil { // no program outlives a kernel
		t.Fatal(err)
	}
	if err := s.node.Reboot(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.startAgent(t)
	s.startFence(t)
	next := s.runForever(t, pod{ns: nsCells, name: "after-reboot"})
	for _, token := range cellTokens {
		s.planted(t, next, token, token)
	}
	s.touchOnce(t, next, cellTokens[:]...)
	for token, text := range leaked {
		found, err := s.agent.TraceToken(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) != 1 || found[0].Container != b.id || found[0].Pod != "before-reboot" || found[0].Token != token || found[0].Present {
			t.Errorf("the token %s of a container that is long gone: %+v", token, found)
		}
	}
}

// hooksForbidden: the runtime refuses a container because of its hook. The next
// attempt, as a kubelet makes it, gets the token as a mount.
func (s *planting) hooksForbidden(t *testing.T) {
	if err := s.node.RejectHooks(); err != nil {
		t.Fatal(err)
	}
	if err := s.node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.agent.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	p := pod{ns: nsCells, name: "forbidden", command: []string{"sleep", "36000"}}
	b, err := s.tryRun(ctx, p)
	if err == nil {
		t.Fatal("a container with a hook was made, and the runtime was to refuse it")
	}
	t.Logf("the first attempt: %v", err)
	b.id = s.addContainer(ctx, t, b, p)
	if err := s.node.CRI().StartContainer(ctx, b.id); err != nil {
		t.Fatal(err)
	}
	s.mustRun(t, b)
	placed := s.planted(t, b, "hook", "bind")
	if !strings.HasPrefix(placed.Reason, "no hook: ") {
		t.Errorf("the status says %q of a hook that was refused", placed.Reason)
	}
	s.touchOnce(t, b, cellTokens[:]...)
}
