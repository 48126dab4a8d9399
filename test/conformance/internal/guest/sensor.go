//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/internal/fanotify"
)

// sensor is what the suite needs of one.
type sensor interface {
	Coverage() []bpf.KindSupport
	Watch(f *os.File, placement uint64) (io.Closer, error)
	WatchCovered(f *os.File, placement uint64) (io.Closer, error)
	WatchDirectory(f *os.File, placement uint64) (io.Closer, error)
	Read() (bpf.Event, error)
	Flush() error
	Count(placement uint64) (bpf.Count, error)
	Repeats() ([]bpf.Repeat, error)
	Forget(placement uint64) error
	// CopyUps is how many copies of overlay files are not watched yet.
	CopyUps() int
	Close() error
}

// tokenName is the last component of every token's path.
const tokenName = "password"

func openSensor(mode bpf.Mode, tier bpf.Tier) (sensor, error) {
	if mode == bpf.ModeFanotify {
		s, err := fanotify.Open(fanotify.Options{Tier: tier})
		if err != nil {
			return nil, err
		}
		return fanotifySensor{s}, nil
	}
	s, err := bpf.Open(bpf.Options{Mode: mode, Tier: tier})
	if err != nil {
		return nil, err
	}
	if err := s.WatchName(tokenName); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return bpfSensor{s}, nil
}

// bpfSensor gives the results an interface's type.
type bpfSensor struct{ *bpf.Sensor }

func (s bpfSensor) Watch(f *os.File, placement uint64) (io.Closer, error) {
	return closer(s.Sensor.Watch(f, placement))
}

func (s bpfSensor) WatchCovered(f *os.File, placement uint64) (io.Closer, error) {
	return closer(s.Sensor.WatchCovered(f, placement))
}

func (s bpfSensor) WatchDirectory(f *os.File, placement uint64) (io.Closer, error) {
	return closer(s.Sensor.WatchDirectory(f, placement))
}

// fanotifySensor has no use for the mount point and the directory.
type fanotifySensor struct{ *fanotify.Sensor }

func (fanotifySensor) WatchCovered(*os.File, uint64) (io.Closer, error) {
	return io.NopCloser(nil), nil
}

func (fanotifySensor) WatchDirectory(*os.File, uint64) (io.Closer, error) {
	return io.NopCloser(nil), nil
}

// CopyUps is zero: what is marked is the overlay's own file, copied up or not.
func (fanotifySensor) CopyUps() int { return 0 }

func closer(w *bpf.Watch, err error) (io.Closer, error) {
	if err != nil {
		return nil, err
	}
	return w, nil
}

// watch watches everything of a planted token.
func (r *rungRun) watch(p *planted, placement uint64) (all []io.Closer, err error) {
	for _, w := range []struct {
		f     *os.File
		what  string
		start func(*os.File, uint64) (io.Closer, error)
	}{
		{p.token, "token", r.sensor.Watch},
		{p.covered, "mount point", r.sensor.WatchCovered},
		{p.directory, "directory", r.sensor.WatchDirectory},
	} {
		if w.f == nil {
			continue
		}
		c, err := w.start(w.f, placement)
		if err != nil {
			return all, errors.Join(fmt.Errorf("%s: %w", w.what, err), unwatch(all))
		}
		all = append(all, c)
	}
	return all, nil
}

// unwatch ends the watches, the token's last.
func unwatch(all []io.Closer) error {
	var errs []error
	for i := len(all) - 1; i >= 0; i-- {
		errs = append(errs, all[i].Close())
	}
	return errors.Join(errs...)
}
