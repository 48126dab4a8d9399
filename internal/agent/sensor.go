package agent

import (
	"context"
	"io"
	"os"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// Sensor is the kernel side. FromBPF makes one of a *bpf.Sensor.
type Sensor interface {
	Mode() bpf.Mode
	// Watch starts watching the inode of f, which may be open with O_PATH and
	// can be closed afterwards, until the result is closed.
	Watch(f *os.File, placement uint64) (io.Closer, error)
	// Read waits for the next event; see bpf.Sensor for its errors.
	Read() (bpf.Event, error)
	// Flush makes Read return bpf.ErrFlushed after the events that are there.
	Flush() error
	Count(placement uint64) (bpf.Count, error)
	Stats() (bpf.Stats, error)
	Close() error
}

// Sink takes accesses. Deliver must not block: a slow back end is the sink's
// to cope with. An error means that the access is lost.
type Sink interface {
	Deliver(ctx context.Context, a beesting.Access) error
}

type bpfSensor struct{ *bpf.Sensor }

// FromBPF makes a Sensor of s.
func FromBPF(s *bpf.Sensor) Sensor { return bpfSensor{s} }

// Watch gives the result an interface's type.
func (s bpfSensor) Watch(f *os.File, placement uint64) (io.Closer, error) {
	w, err := s.Sensor.Watch(f, placement)
	if err != nil {
		return nil, err
	}
	return w, nil
}
