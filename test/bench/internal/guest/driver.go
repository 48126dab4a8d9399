//go:build linux && (amd64 || arm64)

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/bench/internal/comparator"
	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// mostWatched is the last of figure.Counts.
const mostWatched = 100000

// children measure one after the other, see costs.
const children = 5

// driver brings the ways of watching into force, one after the other. Every way
// is seen to work before it is measured: a program that never runs costs nothing.
type driver struct {
	touched, watched string
}

func newDriver() (*driver, error) {
	d := &driver{touched: "/tmp/bench/touched", watched: "/tmp/bench/watched"}
	// The sensor keeps every watched file open.
	limit := unix.Rlimit{Cur: mostWatched * 2, Max: mostWatched * 2}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, fmt.Errorf("limit of open files: %w", err)
	}
	if err := os.WriteFile("/proc/sys/fs/file-max", []byte(strconv.Itoa(mostWatched*4)), 0); err != nil {
		return nil, err
	}
	// Where things lie decides how many steps a search takes.
	if err := os.WriteFile("/proc/sys/kernel/randomize_va_space", []byte("0"), 0); err != nil {
		return nil, err
	}
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	return d, nil
}

// boot runs what belongs into one boot.
func (d *driver) boot(name string) error {
	bare := func() error { return d.measure(figure.Bare, 0) }
	files := func() error { return makeFiles(d.touched, d.watched, mostWatched) }
	var steps []func() error
	switch name {
	case figure.BootWatchers:
		steps = append([]func() error{files, d.defaultMode, d.settle, bare}, d.ways()...)
	case figure.BootAudit:
		steps = []func() error{files, bare, d.audit}
	case figure.BootMemory:
		steps = []func() error{d.memory}
	case figure.BootSizes:
		steps = []func() error{d.sizes}
	default:
		return fmt.Errorf("boot %q", name)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// ways are what is measured in the boot with the programs.
func (d *driver) ways() []func() error {
	sensor := func(way string, o bpf.Options) func() error {
		return func() error { return d.sensor(way, o) }
	}
	ways := []func() error{d.emptyLSM, d.byNumber, d.byPermission}
	for _, mode := range bpf.Modes() {
		ways = append(ways, sensor(figure.SensorPrefix+string(mode), bpf.Options{Mode: mode}))
	}
	return append(ways,
		sensor(figure.Recon, bpf.Options{Mode: bpf.ModeLSM, Tier: bpf.TierRecon}),
		d.tokenOpen,
		func() error { return d.measure(figure.BareAgain, 0) },
		// Last: from 6.10 on a mark that is gone leaves the super block with
		// counters that every open looks at (s_fsnotify_info).
		d.fanotify,
	)
}

// settle brings programs into force and out again, so that what the kernel sets
// up for the first of them is there before anything is measured.
func (d *driver) settle() error {
	empty, err := comparator.Empty()
	if err != nil {
		return err
	}
	hash, err := comparator.ByNumber(1)
	if err == nil {
		err = hash.Close()
	}
	return errors.Join(err, empty.Close())
}

// defaultMode reports which mode the sensor takes by itself.
func (d *driver) defaultMode() error {
	s, err := bpf.Open(bpf.Options{})
	if err != nil {
		return err
	}
	err = report(figure.Figure{Default: string(s.Mode())})
	return errors.Join(err, s.Close())
}

// measure lets a child measure: this process is the sensor's own, whose touches
// are no accesses.
func (d *driver) measure(way string, watched int) error {
	f := figure.Figure{Way: way, Watched: watched}
	var err error
	if f.Instructions, f.Spread, err = d.costs(); err != nil {
		return fmt.Errorf("%s, %d watched: %w", way, watched, err)
	}
	if watched <= figure.Counts[0] {
		if f.Runs, err = d.runs(); err != nil {
			return fmt.Errorf("%s: runs of programs: %w", way, err)
		}
	}
	return report(f)
}

// costs are those of the middle one of several children, and by how much the
// dearest took more than the cheapest.
//
// Which slabs the kernel happens to hand out objects from decides for all of a
// child's life what an exec takes: 280 instructions more or less, on 6.12. With
// the slabs put in order before each child all take the same within 50, but for
// the first, which takes 150 less. How many mappings a child has decides whether
// an mmap takes 30 instructions less; one in seven does.
func (d *driver) costs() (costs, spread map[string]float64, err error) {
	all := map[string][]float64{}
	for range children {
		if err := shrinkSlabs(); err != nil {
			return nil, nil, err
		}
		out, err := d.child(append([]string{"measure", d.touched}, figure.Ops[:]...)...)
		if err != nil {
			return nil, nil, err
		}
		var costs map[string]float64
		if err := json.Unmarshal(out, &costs); err != nil {
			return nil, nil, fmt.Errorf("figures of a child: %w", err)
		}
		for op, n := range costs {
			all[op] = append(all[op], n)
		}
	}
	costs, spread = map[string]float64{}, map[string]float64{}
	for op, ns := range all {
		slices.Sort(ns)
		costs[op], spread[op] = ns[len(ns)/2], ns[len(ns)-1]-ns[0]
	}
	return costs, spread, nil
}

// shrinkSlabs lets the kernel take the processor's slabs away, give empty ones
// back and sort the others (kmem_cache_shrink).
func shrinkSlabs() error {
	files, err := filepath.Glob("/sys/kernel/slab/*/shrink")
	if err == nil && len(files) == 0 {
		err = errors.New("no slabs in sysfs")
	}
	for _, file := range files {
		// A cache that goes away meanwhile is nobody's.
		if e := os.WriteFile(file, []byte("1"), 0); e != nil && !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// touch lets a child open a file.
func (d *driver) touch(path string) error {
	_, err := d.child("touch", path)
	return err
}

// child runs this program by way of one in between: the sensor has as many open
// files as watches, a child starts with a table of that size, and the kernel
// looks through it at each fork. The grandchild's table is as small as it should.
func (d *driver) child(args ...string) ([]byte, error) {
	cmd := exec.Command("/proc/self/exe", append([]string{"between"}, args...)...)
	cmd.Stderr = os.Stderr
	return cmd.Output()
}

func between(args []string) error {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// holding calls f while a child has a file open.
func (d *driver) holding(path string, f func() error) error {
	cmd := exec.Command("/proc/self/exe", "hold", path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if _, err = out.Read(make([]byte, 1)); err == nil { // it has it
		err = f()
	}
	return errors.Join(err, in.Close(), cmd.Wait())
}

// watchOne hands the i-th watched file to watch.
func (d *driver) watchOne(i int, watch func(*os.File, int) error) error {
	path := watchedPath(d.watched, i)
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	return watch(f, i)
}

func (d *driver) siblingPath() string { return filepath.Join(d.touched, sibling) }

func ended(way string, err, closeErr error) error {
	if err = errors.Join(err, closeErr); err != nil {
		return fmt.Errorf("%s: %w", way, err)
	}
	return nil
}
