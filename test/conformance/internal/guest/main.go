//go:build linux

// Command guest is the half of the conformance suite that runs in the VM: it
// opens the sensor rung by rung, plants a token for each case, runs the toucher
// and compares what the sensor tells with what the case expects. It writes one
// line of JSON for each cell on standard output; the host judges the whole.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// toucher is where the host puts the toucher.
const toucher = "/conformance/touch"

// suite is one run in one kernel.
type suite struct {
	out     *json.Encoder
	release string
	cases   []cases.Case
	// left are the file systems beside the first that a refused rung leaves to
	// the next one.
	left []string
	// onlyTier: the plan has one tier only.
	onlyTier bool
	// next is the last placement that was used.
	next uint64
	// cgroup is the touchers'.
	cgroup   *os.File
	cgroupID uint64
}

func main() {
	plan := flag.String("plan", "lsm:default:tmpfs", "`RUNG:TIER:FS,…` to run, a rung's tiers and file systems next to each other")
	only := flag.String("cases", "", "`NAMES` of the cases to run, separated by commas; all when empty")
	flag.Parse()
	// Mounts and touchers belong to one thread, which has a mount namespace of
	// its own, as a container has; the sensor stays in the host's.
	runtime.LockOSThread()
	if err := run(*plan, *only); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func run(plan, only string) error {
	s := &suite{out: json.NewEncoder(os.Stdout)}
	var err error
	if s.release, err = release(); err != nil {
		return err
	}
	list, err := exec.Command(toucher, "--list").Output()
	if err != nil {
		return fmt.Errorf("list of cases: %w", err)
	}
	all, err := cases.Parse(list)
	if err != nil {
		return err
	}
	for _, c := range all {
		if only == "" || strings.Contains(","+only+",", ","+c.Name+",") {
			s.cases = append(s.cases, c)
		}
	}
	if err := ownMounts(); err != nil {
		return err
	}
	if s.cgroup, s.cgroupID, err = makeCgroup(); err != nil {
		return err
	}
	defer s.cgroup.Close()
	s.onlyTier = !strings.Contains(plan, ":"+string(bpf.TierRecon)+":")
	if err := s.runPlan(strings.Split(plan, ",")); err != nil {
		return err
	}
	return s.out.Encode(cases.Line{Done: s.release})
}

// runPlan opens a sensor once for all that follows on the same rung and tier.
func (s *suite) runPlan(plan []string) error {
	for len(plan) > 0 {
		rung, tier, _, err := item(plan[0])
		if err != nil {
			return err
		}
		var systems []string
		for len(plan) > 0 && strings.HasPrefix(plan[0], rung+":"+tier+":") {
			systems = append(systems, strings.TrimPrefix(plan[0], rung+":"+tier+":"))
			plan = plan[1:]
		}
		if err := s.rung(rung, tier, systems); err != nil {
			return err
		}
	}
	return nil
}

func item(text string) (rung, tier, fs string, err error) {
	f := strings.Split(text, ":")
	if len(f) != 3 {
		return "", "", "", fmt.Errorf("plan %q: want RUNG:TIER:FS", text)
	}
	return f[0], f[1], f[2], nil
}

// rung runs everything on one rung and tier.
func (s *suite) rung(rung, tier string, systems []string) error {
	r := &cases.Rung{Rung: rung, Tier: tier}
	sensor, err := openSensor(bpf.Mode(rung), bpf.Tier(tier))
	if err != nil {
		r.Refused, r.Expected = err.Error(), s.refusalExpected(err)
		explain(err)
		s.left = append(s.left, systems[1:]...)
		return s.out.Encode(cases.Line{Rung: r})
	}
	for _, k := range sensor.Coverage() {
		r.Coverage = append(r.Coverage, s.support(rung, k))
	}
	systems, s.left = append(systems, s.left...), nil
	run := &rungRun{suite: s, sensor: sensor, rung: r}
	for _, fs := range systems {
		for _, form := range cases.Forms() {
			if err := run.place(fs, form); err != nil {
				return errors.Join(fmt.Errorf("%s %s %s %s: %w", rung, tier, fs, form, err), sensor.Close())
			}
		}
	}
	if err := sensor.Close(); err != nil {
		return err
	}
	return s.out.Encode(cases.Line{Rung: r})
}

// support is what the sensor says of a kind, with what it can't know: fanotify
// marks for changes by the file system's id, which tmpfs has from 5.13 on.
func (s *suite) support(rung string, k bpf.KindSupport) cases.Support {
	c := cases.Support{Kind: k.Kind.String(), Seen: k.Seen, Note: k.Note}
	switch k.Kind {
	case bpf.KindSetattr, bpf.KindLink, bpf.KindRename, bpf.KindUnlink:
		if rung == cases.RungFanotify && (cases.Case{Since: "5.13"}).Lacking(s.release) {
			c.Seen, c.Note = false, "on tmpfs before Linux 5.13, which gives it no id to mark by"
		}
	}
	return c
}

// explain shows the end of what the verifier said.
func explain(err error) {
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		for _, line := range verifier.Log[max(0, len(verifier.Log)-40):] {
			fmt.Fprintln(os.Stderr, line)
		}
	}
}

// refusalExpected: LSM and fentry need 5.11, and nothing else may be refused.
func (s *suite) refusalExpected(err error) bool {
	return (cases.Case{Since: "5.11"}).Lacking(s.release) && errors.Is(err, bpf.ErrTooOld)
}

func release() (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", fmt.Errorf("uname: %w", err)
	}
	return unix.ByteSliceToString(u.Release[:]), nil
}

// ownMounts gives this thread a mount namespace of its own.
func ownMounts() error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	return nil
}
