// Package state keeps what must outlive the agent: the planted files, which are
// mounted into containers, a small record per container that says what they
// are, and the node's key.
//
//	lock                                          held by the one agent of the node
//	node.key                                      32 random bytes
//	watched                                       when the tokens were last watched
//	containers/ID.json                            a Record
//	pods/POD UID/containers/CONTAINER NAME/XXXXXXXX   a planted file
//
// A container sees the path of its mounts' sources in /proc/self/mountinfo.
// The last line therefore has the form of the only single files the kubelet
// mounts into every container, /dev/termination-log and /etc/hosts:
// /var/lib/kubelet/pods/UID/containers/NAME/8 hex digits.
//
// Nothing is synced to disk except the key: after a crash of the node no
// container that mounts a file runs any more, and the files are collected.
package state

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrLocked says that another agent uses the directory.
var ErrLocked = errors.New("in use by another agent")

// KeyBytes is the length of the node's key.
const KeyBytes = 32

// Dir is an open state directory, locked for this process. Its methods may be
// called concurrently as long as no two of them deal with the same container.
type Dir struct {
	path string
	lock *os.File
}

// Open takes the state directory at path, made if it is missing, and locks it.
// It returns an error that is ErrLocked if another process has it.
func Open(path string) (*Dir, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	// Only root passes: a planted file is for its container, and another user
	// of the host who could list the directory would know every token.
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	// Sources of mounts are compared as text with what the runtime reports.
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	held, err := LockFile(filepath.Join(path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", path, err)
	}
	return &Dir{path: path, lock: held}, nil
}

// Check tries whether a state directory at path can be written, without taking
// the lock, and leaves nothing behind but the directory.
func Check(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	f, err := os.CreateTemp(path, ".check-*")
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	_, err = f.Write(make([]byte, 4096))
	if err := errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// Close lets go of the lock. The files stay.
func (d *Dir) Close() error { return d.lock.Close() }

// Path returns the directory's absolute path, links resolved.
func (d *Dir) Path() string { return d.path }

// Key returns the node's key, made at the first call. It stays the same for as
// long as the directory is kept.
func (d *Dir) Key() ([]byte, error) {
	name := filepath.Join(d.path, "node.key")
	key, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.makeKey(name)
	case err != nil:
		return nil, fmt.Errorf("node key: %w", err)
	case len(key) != KeyBytes:
		return nil, fmt.Errorf("node key: %s has %d bytes, want %d: remove it to have a new one", name, len(key), KeyBytes)
	}
	return key, nil
}

func (d *Dir) makeKey(name string) ([]byte, error) {
	key := make([]byte, KeyBytes)
	if _, err := rand.Read(key); err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	if err := d.write(name, key, fileMode{mode: 0o600, sync: true}); err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	return key, nil
}

type fileMode struct {
	mode     fs.FileMode
	uid, gid int
	modTime  time.Time // now if zero
	sync     bool
}

// write puts a whole file in place, or none: under another name first, then
// renamed. An interrupted one is left in the same directory with a leading dot.
func (d *Dir) write(name string, content []byte, m fileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*") // 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := fill(f, content, m); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	if !m.sync {
		return nil
	}
	return syncDir(filepath.Dir(name))
}

func fill(f *os.File, content []byte, m fileMode) error {
	if _, err := f.Write(content); err != nil {
		return err
	}
	// Chown first: it clears set-id bits, and mode is the last word.
	if m.uid != 0 || m.gid != 0 {
		if err := f.Chown(m.uid, m.gid); err != nil {
			return err
		}
	}
	if err := f.Chmod(m.mode); err != nil {
		return err
	}
	if !m.modTime.IsZero() {
		// No one else finds the file under this name: the directory is root's.
		if err := os.Chtimes(f.Name(), m.modTime, m.modTime); err != nil {
			return err
		}
	}
	if m.sync {
		return f.Sync()
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
