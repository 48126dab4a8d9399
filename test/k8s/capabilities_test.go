//go:build k8s

package k8s

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// granted are the chart's capabilities.
var granted = []string{"SYS_ADMIN", "SYS_CHROOT", "SYS_PTRACE", "DAC_READ_SEARCH", "CHOWN", "FOWNER", "SETUID", "SETGID"}

// withoutRows say what goes without a capability. Without some the agent doesn't
// start at all, and says why.
var withoutRows = []struct {
	capability, feature string
	broken              func(*suite, *testing.T) error
	instead             []string
	live                bool // to be seen when a token is planted in a container that runs
}{
	{"SYS_ADMIN", "loading programs", refuses("missing CAP_BPF (to load programs)"), nil, false},
	{"SYS_ADMIN", "watching without eBPF, and planting in containers that run", either(
		refuses("no attach mode works"), lacks("enter mount namespace: operation not permitted")), []string{"BPF", "PERFMON"}, true},
	{"SYS_PTRACE", "looking into containers through /proc/PID/root", refuses("missing CAP_SYS_PTRACE"), nil, false},
	{"DAC_READ_SEARCH", "passing directories of other users", refuses("missing CAP_DAC_READ_SEARCH"), nil, false},
	{"CHOWN", "giving a token to its container's user", refuses("missing CAP_CHOWN"), nil, false},
	{"FOWNER", "setting the mode of such a token", refuses("missing CAP_FOWNER"), nil, false},
	{"SYS_CHROOT", "planting in containers that run", lacks("enter mount namespace: operation not permitted"), nil, true},
	{"SETUID", "planting in directories of other users, in containers that run", lacks("user 1000 of new files: operation not permitted"), nil, true},
	{"SETGID", "the same, for groups", lacks("group 1000 of new files: operation not permitted"), nil, true},
}

// capabilities takes each away once and looks for what doesn't work any more; with
// all of them it does.
func (s *suite) capabilities(t *testing.T) {
	if names := capabilitiesOf(t, s); !slices.Equal(names, granted) {
		t.Fatalf("the chart grants %q, and this test knows of %q", names, granted)
	}
	// A directory of another user in a container that runs, for a token that comes later.
	web := s.web(t)
	s.kubectl(t, "-n", shop, "exec", web.pod, "--", "/bin/busybox", "mkdir", "/srv/own")
	s.kubectl(t, "-n", shop, "exec", web.pod, "--", "/bin/busybox", "chown", "1000:1000", "/srv/own")
	const late = `tokens=[{"name":"aws","kind":"aws-credentials"},{"name":"own","kind":"env-file","path":"/srv/own/.env"}]`
	for _, row := range withoutRows {
		t.Run(row.capability, func(t *testing.T) {
			less := slices.DeleteFunc(slices.Clone(granted), func(c string) bool { return c == row.capability })
			rest, err := json.Marshal(append(less, row.instead...))
			if err != nil {
				t.Fatal(err)
			}
			with := []string{"--set-json", "capabilities=" + string(rest)}
			s.helm(t, "upgrade", with...)
			if row.live {
				// The agent that comes has to be there before the token is: the one that goes could plant it.
				eventually(t, "the agent with less", func() error {
					if row.broken(s, t) == nil {
						return nil
					}
					return s.ready(t)
				})
				s.helm(t, "upgrade", append(with, "--set-json", late)...)
			}
			eventually(t, "what doesn't work without "+row.capability+": "+row.feature, func() error { return row.broken(s, t) })
		})
	}
	s.helm(t, "upgrade", "--set-json", late, "--wait", "--timeout", "3m")
	s.healthy(t)
	eventually(t, "the token, with all capabilities", func() error {
		_, err := s.cluster.Kubectl(t.Context(), "-n", shop, "exec", web.pod, "--", "/bin/busybox", "test", "-s", "/srv/own/.env")
		return err
	})
	s.read(t, web, "/srv/own/.env", "own")
	s.helm(t, "upgrade", "--wait", "--timeout", "3m")
}

// capabilitiesOf are those of the DaemonSet in the cluster.
func capabilitiesOf(t *testing.T, s *suite) []string {
	t.Helper()
	var names []string
	out := s.kubectl(t, "-n", namespace, "get", "ds", release, "-o", "jsonpath={.spec.template.spec.containers[0].securityContext.capabilities.add}")
	if err := json.Unmarshal([]byte(out), &names); err != nil {
		t.Fatal(err)
	}
	return names
}

// newest is the pod of the DaemonSet's present generation.
func (s *suite) newest(t *testing.T) (string, error) {
	t.Helper()
	out, err := s.cluster.Kubectl(t.Context(), "-n", namespace, "get", "ds", release, "-o", "jsonpath={.metadata.generation} {.status.observedGeneration} {.status.updatedNumberScheduled}")
	if err != nil {
		return "", err
	}
	if f := strings.Fields(out); len(f) != 3 || f[0] != f[1] || f[2] != "1" {
		return "", fmt.Errorf("the roll-out has not come to the node: %s", out)
	}
	out, err = s.cluster.Kubectl(t.Context(), "-n", namespace, "get", "pods", "-l", "app.kubernetes.io/component=agent",
		"-o", staying)
	if f := strings.Fields(out); err == nil && len(f) == 1 {
		return f[0], nil
	}
	return "", errors.Join(err, fmt.Errorf("pods of the agent: %s", out))
}

// ready is an error unless the newest pod is.
func (s *suite) ready(t *testing.T) error {
	t.Helper()
	pod, err := s.newest(t)
	if err != nil {
		return err
	}
	out, err := s.cluster.Kubectl(t.Context(), "-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].ready}")
	if err == nil && out != "true" {
		err = fmt.Errorf("pod %s is ready: %q", pod, out)
	}
	return err
}

// refuses holds when the agent ends with a reason that has this text in it.
func refuses(why string) func(*suite, *testing.T) error {
	return func(s *suite, t *testing.T) error {
		pod, err := s.newest(t)
		if err != nil {
			return err
		}
		state, err := s.cluster.Kubectl(t.Context(), "-n", namespace, "get", "pod", pod, "-o", "jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}")
		if err != nil || strings.HasPrefix(state, "0") || strings.HasSuffix(state, "true") {
			return errors.Join(err, fmt.Errorf("restarts and readiness: %q", state))
		}
		log, err := s.cluster.Kubectl(t.Context(), "-n", namespace, "logs", pod, "--previous")
		if err != nil || !strings.Contains(log, why) {
			return errors.Join(err, fmt.Errorf("the log has no %q: %s", why, log))
		}
		t.Logf("%s", strings.TrimSpace(log))
		return nil
	}
}

// either is for what depends on the kernel.
func either(one, other func(*suite, *testing.T) error) func(*suite, *testing.T) error {
	return func(s *suite, t *testing.T) error {
		first := one(s, t)
		if first == nil {
			return nil
		}
		second := other(s, t)
		if second == nil {
			return nil
		}
		return errors.Join(first, second)
	}
}

// lacks holds when the agent runs and gives this reason for a token that it could
// not plant.
func lacks(why string) func(*suite, *testing.T) error {
	return func(s *suite, t *testing.T) error {
		pod, err := s.newest(t)
		if err != nil {
			return err
		}
		out, err := s.cluster.Kubectl(t.Context(), "-n", namespace, "exec", pod, "--", "beesting", "status")
		if err != nil || !strings.Contains(out, why) {
			return errors.Join(err, fmt.Errorf("the status has no %q: %s", why, out))
		}
		return nil
	}
}
