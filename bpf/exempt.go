//go:build linux && (amd64 || arm64)

package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
)

// Exempt makes the kernel side recognise whoever runs the program file f, by its
// inode, until the result is closed. With ActorAllowed its touches are counted
// as exempt, see Options.ReportExempt; with the others events say so.
func (s *Sensor) Exempt(f *os.File, a Actor) (*Watch, error) {
	if a < ActorAllowed || a > ActorKubelet {
		return nil, fmt.Errorf("exempt %s: actor %d", f.Name(), a)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpen(); err != nil {
		return nil, fmt.Errorf("exempt %s: %w", f.Name(), err)
	}
	w := &Watch{sensor: s, second: true}
	if err := s.add(w, f, uint32(a)); err != nil {
		return nil, fmt.Errorf("exempt %s: %w", f.Name(), err)
	}
	s.watches[w] = struct{}{}
	return w, nil
}

// ExemptCgroup exempts the processes that are in a cgroup of the unified
// hierarchy, but not in those below it, by its id: the inode number of its
// directory. 64 at most; until the sensor is closed, with Options.Pin until
// another one takes over.
func (s *Sensor) ExemptCgroup(id uint64) error {
	if err := s.coll.Maps["exempt_cgroups"].Put(id, uint32(1)); err != nil {
		return fmt.Errorf("exempt cgroup %d: %w", id, err)
	}
	return nil
}

// forgetSettings drops what an earlier process was configured with: whom it
// exempted, which names it wanted symbolic links to told of.
func (s *Sensor) forgetSettings() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	errs := []error{s.sweep(0)} // an actor's binary is watched for no placement
	for _, name := range []string{"exempt_cgroups", "names"} {
		m := s.coll.Maps[name]
		var stale [][]byte
		var key, value []byte
		all := m.Iterate()
		for all.Next(&key, &value) {
			stale = append(stale, bytes.Clone(key))
		}
		errs = append(errs, all.Err())
		for _, key := range stale {
			errs = append(errs, m.Delete(key))
		}
	}
	errs = append(errs, s.countNames())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("earlier settings: %w", err)
	}
	return nil
}

// maxName is the longest name that the programs compare, sensor.h's NAME_LEN.
const maxName = 63

// WatchName makes symbolic links whose target ends in the name events, of
// placement 0: whether one leads to a token is for the caller to find out. Each
// call wants a ForgetName.
func (s *Sensor) WatchName(name string) error {
	key, err := nameKey(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name] == 0 {
		if err := s.coll.Maps["names"].Put(key, uint32(1)); err != nil {
			return fmt.Errorf("watch name %q: %w", name, err)
		}
	}
	s.names[name]++
	return s.countNames()
}

// ForgetName takes back one WatchName.
func (s *Sensor) ForgetName(name string) error {
	key, err := nameKey(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names[name]--; s.names[name] > 0 {
		return nil
	}
	delete(s.names, name)
	if err := s.coll.Maps["names"].Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("forget name %q: %w", name, err)
	}
	return s.countNames()
}

// countNames tells the programs whether to look at symbolic links at all.
func (s *Sensor) countNames() error {
	if err := s.coll.Variables["watched_names"].Set(uint32(len(s.names))); err != nil { //nolint:gosec // 1024 at most
		return fmt.Errorf("number of names: %w", err)
	}
	return nil
}

func nameKey(name string) ([]byte, error) {
	if name == "" || len(name) > maxName {
		return nil, fmt.Errorf("name %q: want 1 to %d bytes", name, maxName)
	}
	key := make([]byte, maxName+1)
	copy(key, name)
	return key, nil
}
