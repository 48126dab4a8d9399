//go:build linux && (amd64 || arm64)

package bpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
)

// Count returns what the kernel counted for a placement that is being watched.
func (s *Sensor) Count(placement uint64) (Count, error) {
	var c lsmCount
	if err := s.coll.Maps["counts"].Lookup(placement, &c); err != nil {
		return Count{}, fmt.Errorf("count of placement %#x: %w", placement, err)
	}
	return Count{Seen: c.Seen, Lost: c.Lost, Exempt: c.Exempt}, nil
}

// Account returns what SetAccount has set last, also an earlier process's; the
// zero value if none has.
func (s *Sensor) Account(placement uint64) (Account, error) {
	var a lsmAccount
	err := s.coll.Maps["accounts"].Lookup(placement, &a)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return Account{}, fmt.Errorf("account of placement %#x: %w", placement, err)
	}
	return Account{Delivered: a.Delivered, Coalesced: a.Coalesced, Lost: a.Lost, Position: a.Position}, nil
}

// SetAccount keeps an account beside the kernel's counters, for as long as those.
func (s *Sensor) SetAccount(placement uint64, a Account) error {
	raw := lsmAccount{Delivered: a.Delivered, Coalesced: a.Coalesced, Lost: a.Lost, Position: a.Position}
	if err := s.coll.Maps["accounts"].Put(placement, &raw); err != nil {
		return fmt.Errorf("account of placement %#x: %w", placement, err)
	}
	return nil
}

// Placements returns those that the kernel counts: all that are watched, and
// those of an earlier process that nobody has forgotten. In no order.
func (s *Sensor) Placements() ([]uint64, error) {
	var ids []uint64
	var id uint64
	var c lsmCount
	all := s.coll.Maps["counts"].Iterate()
	for all.Next(&id, &c) {
		ids = append(ids, id)
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("counted placements: %w", err)
	}
	return ids, nil
}

// Forget drops the counters of a placement, and its watches if an earlier
// process left any. It is an error for one that this sensor watches.
func (s *Sensor) Forget(placement uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byPlacement[placement] != nil {
		return fmt.Errorf("forget placement %#x: it is watched", placement)
	}
	if err := errors.Join(s.sweep(placement), s.dropCounters(placement)); err != nil {
		return fmt.Errorf("forget placement %#x: %w", placement, err)
	}
	return nil
}

func (s *Sensor) dropCounters(placement uint64) error {
	var errs []error
	for _, name := range []string{"counts", "accounts"} {
		err := s.coll.Maps[name].Delete(placement)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// repeatsBatch is how many repeats are read with a system call.
const repeatsBatch = 1024

// Repeats returns the kernel's counts of touches by process, in no order. It is
// bounded by the size of the kernel's table; entries that the kernel had no room
// for are not in it. What changes while it is read may or may not be.
func (s *Sensor) Repeats() ([]Repeat, error) {
	var all []Repeat
	var cursor ebpf.MapBatchCursor
	keys := make([]lsmRepeatKey, repeatsBatch)
	values := make([]lsmRepeat, repeatsBatch)
	for {
		n, err := s.coll.Maps["repeats"].BatchLookup(&cursor, keys, values, nil)
		last := errors.Is(err, ebpf.ErrKeyNotExist)
		if err != nil && !last {
			return nil, fmt.Errorf("repeats: %w", err)
		}
		for i := range n {
			k, v := keys[i], values[i]
			if k.Kind == 0 || v.Total == 0 {
				continue // the programs' own note
			}
			all = append(all, Repeat{
				Placement: k.Placement, PID: k.Pid, StartTime: time.Duration(k.StartTime),
				Kind: Kind(k.Kind), Variant: k.Variant, Total: v.Total, Last: time.Duration(v.Last),
			})
		}
		if last {
			return all, nil
		}
	}
}
