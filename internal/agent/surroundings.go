package agent

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path"

	"github.com/beesting-otel/beesting"
)

// Surroundings is what a Sensor can watch beside a token's own inode. Not every
// sensor can. Each is ended before the token's own watch.
type Surroundings interface {
	// WatchCovered watches the inode that the placement's file is mounted over,
	// whose name can be touched.
	WatchCovered(f *os.File, placement uint64) (io.Closer, error)
	// WatchDirectory watches the directory that the file is in: who lists it.
	WatchDirectory(f *os.File, placement uint64) (io.Closer, error)
	// WatchName makes symbolic links to something of that name events. Each call
	// wants a ForgetName.
	WatchName(name string) error
	ForgetName(name string) error
}

// OpenFollower is a Sensor that has to be asked for the ends of opens, as telling
// them takes a lock that somebody who can write to the file may meet.
type OpenFollower interface {
	FollowOpens(placement uint64) error
}

var _ OpenFollower = bpfSensor{}

// FollowOpens has the ends of opens of an armed placement told. It is for tokens
// that nobody but the host can open for writing. A sensor that tells them anyway
// has nothing to do.
func (c *Core) FollowOpens(id beesting.PlacementID) error {
	s, ok := c.sensor.(OpenFollower)
	if !ok {
		return nil
	}
	if err := s.FollowOpens(uint64(id)); err != nil {
		return fmt.Errorf("ends of opens: %w", err)
	}
	return nil
}

// WatchCovered implements Surroundings.
func (s bpfSensor) WatchCovered(f *os.File, placement uint64) (io.Closer, error) {
	w, err := s.Sensor.WatchCovered(f, placement)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// WatchDirectory implements Surroundings.
func (s bpfSensor) WatchDirectory(f *os.File, placement uint64) (io.Closer, error) {
	w, err := s.Sensor.WatchDirectory(f, placement)
	if err != nil {
		return nil, err
	}
	return w, nil
}

var _ Surroundings = bpfSensor{}

// errNotArmed: what is beside a token is watched after the token.
var errNotArmed = errors.New("not armed")

// ArmDirectory makes listing a directory an access of an armed placement. A
// directory that another placement has already is no error. It returns an error
// that is errors.ErrUnsupported where the sensor can't.
func (c *Core) ArmDirectory(id beesting.PlacementID, f *os.File) error {
	return c.armBeside(id, f, "directory", Surroundings.WatchDirectory)
}

// ArmCovered makes touches of the inode that an armed placement is mounted over
// accesses of that. Errors are as of ArmDirectory.
func (c *Core) ArmCovered(id beesting.PlacementID, f *os.File) error {
	return c.armBeside(id, f, "mount point", Surroundings.WatchCovered)
}

func (c *Core) armBeside(id beesting.PlacementID, f *os.File, what string, watch func(Surroundings, *os.File, uint64) (io.Closer, error)) error {
	s, ok := c.sensor.(Surroundings)
	if !ok {
		return fmt.Errorf("arm %s: %w", what, errors.ErrUnsupported)
	}
	c.table.mu.Lock()
	entry := c.table.armed[id]
	ready := entry != nil && entry.watch != nil
	c.table.mu.Unlock()
	if !ready {
		return fmt.Errorf("arm %s: placement %#x: %w", what, uint64(id), errNotArmed)
	}
	w, err := watch(s, f, uint64(id))
	switch {
	case IsWatched(err):
		return nil
	case err != nil:
		return fmt.Errorf("arm %s of token %s: %w", what, entry.placement.Token.Name, err)
	}
	c.table.mu.Lock()
	still := c.table.armed[id] == entry
	if still {
		entry.beside = append(entry.beside, w)
	}
	c.table.mu.Unlock()
	if !still { // disarmed meanwhile
		return w.Close()
	}
	return nil
}

// watchName has symbolic links to the token's name told, and returns the name.
// Without it one kind of access is missing, and all others are there.
func (c *Core) watchName(t beesting.Token) string {
	s, ok := c.sensor.(Surroundings)
	if !ok || t.Path == "" {
		return ""
	}
	name := path.Base(t.Path)
	if err := s.WatchName(name); err != nil {
		c.log.Warn("symbolic links to a token are not seen", slog.String("token", t.Name), slog.Any("error", err))
		return ""
	}
	return name
}

// closeWatches ends what an entry watches; it is out of the table.
func (c *Core) closeWatches(entry *armed) error {
	var errs []error
	for _, w := range entry.beside {
		errs = append(errs, w.Close())
	}
	if s, ok := c.sensor.(Surroundings); ok && entry.name != "" {
		errs = append(errs, s.ForgetName(entry.name))
	}
	return errors.Join(append(errs, entry.watch.Close())...)
}
