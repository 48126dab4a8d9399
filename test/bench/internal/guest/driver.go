//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/bench/internal/comparator"
	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// sibling lies beside the touched files.
const sibling = "sibling"

// mostWatched is the last of figure.Counts.
const mostWatched = 100000

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
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	return d, makeFiles(d.touched, d.watched, mostWatched)
}

// boot runs what belongs into one boot.
func (d *driver) boot(name string) error {
	bare := func() error { return d.measure(figure.Bare, 0) }
	var steps []func() error
	switch name {
	case figure.BootWatchers:
		steps = []func() error{
			d.defaultMode, bare, d.emptyLSM, d.byNumber,
			func() error { return d.sensor(bpf.ModeLSM) },
			func() error { return d.sensor(bpf.ModeFentry) },
			func() error { return d.sensor(bpf.ModeKprobe) },
			func() error { return d.measure(figure.BareAgain, 0) },
			// Last: from 6.10 on a mark that is gone leaves the super block with
			// counters that every open looks at (s_fsnotify_info).
			d.fanotify,
		}
	case figure.BootAudit:
		steps = []func() error{bare, d.audit}
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

// defaultMode reports which mode the sensor takes by itself.
func (d *driver) defaultMode() error {
	s, err := bpf.Open(bpf.Options{})
	if err != nil {
		return err
	}
	err = report(figure.Figure{Default: string(s.Mode())})
	return errors.Join(err, s.Close())
}

// measure lets a child measure: this process is the sensor's own, whose opens
// are no accesses.
func (d *driver) measure(way string, watched int) error {
	out, err := d.child("measure", d.touched)
	if err != nil {
		return fmt.Errorf("%s, %d watched: %w", way, watched, err)
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
	if err != nil {
		return fmt.Errorf("%s: %w", way, err)
	}
	return report(figure.Figure{Way: way, Watched: watched, Instructions: n})
}

// touch lets a child open a file.
func (d *driver) touch(path string) error {
	_, err := d.child("touch", path)
	return err
}

func (d *driver) child(args ...string) (string, error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return string(out), err
}

func (d *driver) emptyLSM() error {
	p, err := comparator.Empty()
	if err != nil {
		return err
	}
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return errors.Join(err, p.Close())
	}
	touchErr := d.touch(filepath.Join(d.touched, sibling))
	runs, err := p.Runs()
	if err = errors.Join(touchErr, err, stats.Close()); err == nil && runs == 0 {
		err = errors.New("attached, but it does not run")
	}
	if err == nil {
		err = d.measure(figure.EmptyLSM, 0)
	}
	return d.ended(figure.EmptyLSM, err, p.Close())
}

func (d *driver) byNumber() error {
	p, err := comparator.ByNumber(mostWatched)
	if err != nil {
		return err
	}
	err = d.growing(figure.ByNumber, func(f *os.File, _ int) error {
		return p.Watch(int(f.Fd()))
	}, func(int) (uint64, error) {
		return p.Seen()
	})
	return d.ended(figure.ByNumber, err, p.Close())
}

func (d *driver) sensor(mode bpf.Mode) error {
	way := figure.SensorPrefix + string(mode)
	s, err := bpf.Open(bpf.Options{Mode: mode, MaxWatches: mostWatched})
	if err != nil {
		return err
	}
	placement := func(i int) uint64 { return uint64(i) + 1 }
	err = d.growing(way, func(f *os.File, i int) error {
		_, err := s.Watch(f, placement(i))
		return err
	}, func(i int) (uint64, error) {
		c, err := s.Count(placement(i))
		return c.Seen, err
	})
	return d.ended(way, err, s.Close())
}

// growing measures with each number of watched files. After each step the file
// that was added last is touched, and seen has to tell of it.
func (d *driver) growing(way string, watch func(*os.File, int) error, seen func(int) (uint64, error)) error {
	next := 0
	for _, count := range figure.Counts {
		for ; next < count; next++ {
			if err := d.watchOne(next, watch); err != nil {
				return err
			}
		}
		before, err := seen(count - 1)
		if err != nil {
			return err
		}
		if err := d.touch(watchedPath(d.watched, count-1)); err != nil {
			return err
		}
		after, err := seen(count - 1)
		if err != nil {
			return err
		}
		if after != before+1 {
			return fmt.Errorf("%d watched: a touch was counted %d times", count, after-before)
		}
		if err := d.measure(way, count); err != nil {
			return err
		}
	}
	return nil
}

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

func (d *driver) ended(way string, err, closeErr error) error {
	if err = errors.Join(err, closeErr); err != nil {
		return fmt.Errorf("%s: %w", way, err)
	}
	return nil
}
