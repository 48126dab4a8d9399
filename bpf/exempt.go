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
	if len(s.earlier.binaries) > 0 {
		if err := s.replaceEarlier(w, a); err != nil {
			return nil, fmt.Errorf("exempt %s: %w", f.Name(), err)
		}
	}
	s.watches[w] = struct{}{}
	return w, nil
}

// ExemptCgroup exempts the processes that are in a cgroup of the unified
// hierarchy, but not in those below it, by its id: the inode number of its
// directory. 64 at most; until the sensor is closed, with Options.Pin until
// another one takes over.
func (s *Sensor) ExemptCgroup(id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.coll.Maps["exempt_cgroups"].Put(id, uint32(1)); err != nil {
		return fmt.Errorf("exempt cgroup %d: %w", id, err)
	}
	delete(s.earlier.cgroups, id)
	return nil
}

// earlier is what another process left in the maps of whom it exempted, less
// what this one has set anew: the runtime looks through its containers' files
// at any time, and is to be recognised all the while.
type earlier struct {
	binaries map[uint64]lsmWatch // by key in watches
	cgroups  map[uint64]struct{}
}

// takeOverSettings notes whom an earlier process exempted, and drops which names
// it wanted symbolic links to told of.
func (s *Sensor) takeOverSettings() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.earlier = earlier{binaries: map[uint64]lsmWatch{}, cgroups: map[uint64]struct{}{}}
	var key uint64
	var w lsmWatch
	watches := s.coll.Maps["watches"].Iterate()
	for watches.Next(&key, &w) {
		if w.Placement == 0 { // an actor's binary
			s.earlier.binaries[key] = w
		}
	}
	var one uint32
	cgroups := s.coll.Maps["exempt_cgroups"].Iterate()
	for cgroups.Next(&key, &one) {
		s.earlier.cgroups[key] = struct{}{}
	}
	m := s.coll.Maps["names"]
	var stale [][]byte
	var name, value []byte
	names := m.Iterate()
	for names.Next(&name, &value) {
		stale = append(stale, bytes.Clone(name))
	}
	errs := []error{watches.Err(), cgroups.Err(), names.Err()}
	for _, name := range stale {
		errs = append(errs, m.Delete(name))
	}
	errs = append(errs, s.countNames())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("earlier settings: %w", err)
	}
	return nil
}

// replaceEarlier puts the binary of w in anew: an entry of an earlier process may
// be of another actor, and is not to be forgotten any more.
func (s *Sensor) replaceEarlier(w *Watch, a Actor) error {
	again, result, err := s.enrol(w.pin, lsmEnrolment{Op: enrolRemove})
	if err != nil {
		return err
	}
	if err := again.Close(); err != nil {
		return err
	}
	if result.Done == 0 {
		return ErrHookSilent // the file stays open, see Watch.Close
	}
	for key := range s.earlier.binaries {
		var was lsmWatch
		err := s.coll.Maps["watches"].Lookup(key, &was)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			delete(s.earlier.binaries, key)
		} else if err != nil {
			return err
		}
	}
	pin := w.pin
	return errors.Join(s.add(w, pin, uint32(a)), pin.Close())
}

// ForgetEarlier ends what an earlier process exempted and this one has not, since
// Open took over what that had pinned. Until then it goes on.
func (s *Sensor) ForgetEarlier() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkOpen(); err != nil {
		return fmt.Errorf("earlier exemptions: %w", err)
	}
	var errs []error
	for key, w := range s.earlier.binaries {
		errs = append(errs, s.drop(key, w))
	}
	for id := range s.earlier.cgroups {
		errs = append(errs, s.coll.Maps["exempt_cgroups"].Delete(id))
	}
	s.earlier = earlier{}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("earlier exemptions: %w", err)
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
