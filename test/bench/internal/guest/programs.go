//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/bench/internal/comparator"
	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

func (d *driver) emptyLSM() error {
	p, err := comparator.Empty()
	if err != nil {
		return err
	}
	// That each of them runs shows in the figure's Runs, which the report wants.
	return ended(figure.EmptyLSM, d.measure(figure.EmptyLSM, 0), p.Close())
}

func (d *driver) byNumber() error {
	h, err := comparator.ByNumber(mostWatched)
	if err != nil {
		return err
	}
	return d.hash(figure.ByNumber, h)
}

func (d *driver) byPermission() error {
	h, err := comparator.ByPermission(mostWatched)
	if err != nil {
		return err
	}
	return d.hash(figure.ByPermission, h)
}

func (d *driver) hash(way string, h *comparator.Hash) error {
	err := d.growing(way, func(f *os.File, _ int) error {
		return h.Watch(int(f.Fd()))
	}, func(int) (uint64, error) {
		return h.Seen()
	})
	return ended(way, err, h.Close())
}

// placement is the id under which the i-th file is watched.
func placement(i int) uint64 { return uint64(i) + 1 }

func opens(s *bpf.Sensor) func(i int) (uint64, error) {
	return func(i int) (uint64, error) {
		c, err := s.Count(placement(i))
		return c.Seen[bpf.KindOpen], err
	}
}

func watchWith(s *bpf.Sensor) func(f *os.File, i int) error {
	return func(f *os.File, i int) error {
		_, err := s.Watch(f, placement(i))
		return err
	}
}

func (d *driver) sensor(way string, o bpf.Options) error {
	o.MaxWatches = mostWatched
	s, err := bpf.Open(o)
	if err != nil {
		return err
	}
	drained := drain(s)
	err = d.growing(way, watchWith(s), opens(s))
	closeErr := s.Close()
	return ended(way, errors.Join(err, <-drained), closeErr)
}

// tokenOpen measures while somebody has a watched file open: some programs are
// of use only then.
func (d *driver) tokenOpen() error {
	s, err := bpf.Open(bpf.Options{Mode: bpf.ModeLSM})
	if err != nil {
		return err
	}
	drained := drain(s)
	if err = d.watchOne(0, watchWith(s)); err == nil {
		err = d.holding(watchedPath(d.watched, 0), func() error {
			n, err := opens(s)(0)
			if err == nil && n != 1 {
				err = errors.New("the open was not seen")
			}
			return errors.Join(err, d.measure(figure.TokenOpen, 1))
		})
	}
	closeErr := s.Close()
	return ended(figure.TokenOpen, errors.Join(err, <-drained), closeErr)
}

// drain reads events until the sensor is closed.
func drain(s *bpf.Sensor) <-chan error {
	done := make(chan error, 1)
	go func() {
		for {
			_, err := s.Read()
			var bad *bpf.DecodeError
			if errors.Is(err, os.ErrClosed) {
				err = nil
			} else if err == nil || errors.Is(err, bpf.ErrFlushed) {
				continue
			} else if errors.As(err, &bad) {
				err = bad
			}
			done <- err
			return
		}
	}()
	return done
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
		if err := d.seesTouch(count, seen); err != nil {
			return err
		}
		if err := d.measure(way, count); err != nil {
			return err
		}
	}
	return nil
}

// seesTouch touches the last of count watched files.
func (d *driver) seesTouch(count int, seen func(int) (uint64, error)) error {
	before, err := seen(count - 1)
	if err != nil {
		return err
	}
	if err := d.touch(watchedPath(d.watched, count-1)); err != nil {
		return err
	}
	after, err := seen(count - 1)
	if err == nil && after != before+1 {
		err = fmt.Errorf("%d watched: a touch was counted %d times", count, after-before)
	}
	return err
}
