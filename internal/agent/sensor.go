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
	Tier() bpf.Tier
	// Coverage says of each kind whether the sensor sees it, and if not, why.
	Coverage() []bpf.KindSupport
	// Resumed returns false if the sensor attached anew, and otherwise since
	// when no agent has read from what an earlier one left attached.
	Resumed() (bpf.Resumed, bool)
	// SignOfLife says until when an agent read, to the one that resumes.
	SignOfLife()

	// Watch starts watching the inode of f, which may be open with O_PATH and
	// can be closed afterwards, until the result is closed.
	Watch(f *os.File, placement uint64) (io.Closer, error)
	// Exempt makes the kernel recognise processes that run the binary f, until
	// the result is closed. Those of bpf.ActorAllowed are no touches.
	Exempt(f *os.File, a bpf.Actor) (io.Closer, error)
	// ExemptCgroup makes processes in the cgroup bpf.ActorAllowed.
	ExemptCgroup(id uint64) error
	// ForgetEarlier ends what the agent exempted whose attached programs were taken
	// over, as far as it wasn't exempted again.
	ForgetEarlier() error

	// Read waits for the next event; see bpf.Sensor for its errors.
	Read() (bpf.Event, error)
	// Retain says whether what Read gives stays in the kernel although more is asked
	// for, so that an agent after this one finds it again.
	Retain(on bool)
	// Flush makes Read return bpf.ErrFlushed after the events that are there.
	Flush() error

	Ledger
	Stats() (bpf.Stats, error)
	// Close leaves attached what is pinned.
	Close() error
}

// Ledger is the part of a Sensor that counts touches in the kernel, and keeps
// beside that what user space made of them.
type Ledger interface {
	Count(placement uint64) (bpf.Count, error)
	// Account returns the zero value for a placement that has none yet.
	Account(placement uint64) (bpf.Account, error)
	SetAccount(placement uint64, a bpf.Account) error
	// Repeats returns the count of every process that the kernel remembers.
	Repeats() ([]bpf.Repeat, error)
	// Placements returns those that are counted, also of an earlier agent.
	Placements() ([]uint64, error)
	// Forget drops the counters of a placement that nobody watches any more.
	Forget(placement uint64) error
}

// Sink takes accesses. No method may block: a slow back end is the sink's to
// cope with. They are called one at a time. An error means that the sink has
// not taken it.
type Sink interface {
	// Deliver takes an access. One that is Ongoing is given to End later, if
	// Deliver took it.
	Deliver(ctx context.Context, a beesting.Access) error
	// End takes an access that was Ongoing, once more: with EndTime, Reads and
	// Writes, or with a zero EndTime where the end was not seen.
	End(ctx context.Context, a beesting.Access) error
	// Gap takes the word that touches are missing.
	Gap(ctx context.Context, g beesting.Gap) error
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

// Exempt gives the result an interface's type.
func (s bpfSensor) Exempt(f *os.File, a bpf.Actor) (io.Closer, error) {
	e, err := s.Sensor.Exempt(f, a)
	if err != nil {
		return nil, err
	}
	return e, nil
}
