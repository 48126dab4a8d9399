// Package state keeps what must outlive the agent: the planted files, which are
// mounted into containers, a record per container that says what they are and
// were, and the node's key.
//
//	lock                                          held by the one agent of the node
//	node.key                                      32 random bytes
//	watched                                       when the tokens were last watched
//	records.db                                    a Record per container, and the history (bbolt)
//	records.db.damaged, records.db.other-version  set aside, one of each
//	pods/POD UID/containers/CONTAINER NAME/XXXXXXXX   a planted file
//
// A container sees the path of its mounts' sources in /proc/self/mountinfo.
// The last line therefore has the form of the only single files the kubelet
// mounts into every container, /dev/termination-log and /etc/hosts:
// /var/lib/kubelet/pods/UID/containers/NAME/8 hex digits. It can be below another
// directory (Options.Files), so that what is above it says nothing either. Files
// that were planted before that was chosen stay where they are mounted from.
//
// # Records
//
// Records are in memory, and that is what readers read. One goroutine brings
// them to disk, in transactions of all that has come while the one before it was
// waiting for the disk. So nobody who writes or reads a record waits for a disk,
// however slow; a full one makes the commit fail, which is tried again and shown
// by Stats. The memory is bounded by the containers of the node, and by 4096
// removed ones on their way to the history.
//
// # What a crash loses
//
// Planted files are made under another name and renamed, so there is none or a
// whole one. They are never synced: after a crash of the node no container that
// mounts one runs any more, and through CRI none of them is started again.
//
//   - kill -9 while a file is written, or before its record: a file that no
//     container mounts, as the runtime had no answer yet. Leftovers lists it, the
//     agent removes it after its next synchronization.
//   - kill -9 before the commit of a new record: the record. The container has its
//     mount; the source's path is made of the container's id and the token's name
//     (FilePath), so the agent finds out which token it is, says so and writes
//     the record again. Ids of token and placement are MACs of the same two
//     names. What is gone is when the token was planted. If the token was also
//     taken out of the policy meanwhile, nobody knows it any more: the agent takes
//     its mount out; what a hook made stays in the container, and is not watched.
//   - kill -9 between the removal of files and the commit that moves the record to
//     the history: a record of files that are gone, of a container that is gone.
//     The agent moves it at its next synchronization, with that time.
//   - kill -9 within a commit: nothing, or the whole batch; bbolt's two meta pages
//     see to that.
//   - crash of the node: the same, with what the disk had not confirmed; after a
//     commit that was confirmed, nothing. The key is synced when it is made.
//   - a damaged database: the history. The file is kept under another name, a new
//     one is made, and records of containers that are there are found out again as
//     above.
package state

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ErrLocked says that another agent uses the directory.
var ErrLocked = errors.New("in use by another agent")

// KeyBytes is the length of the node's key.
const KeyBytes = 32

// Unfinished begins the name of a file that is being written.
const Unfinished = ".tmp-"

// podsName is the directory of all planted files.
const podsName = "pods"

// Options set up a Dir. The zero value of each means the default.
type Options struct {
	// Files is the directory that planted files are made in; the state directory
	// itself if empty. Others can have it too: only "pods" in it is this Dir's.
	Files string
	// Log takes warnings; none are written if nil.
	Log *slog.Logger
	// Now is the wall clock; time.Now if nil.
	Now func() time.Time
	// MaxHistory, in placements, and MaxAge bound what is remembered of removed
	// containers: DefaultMaxHistory and DefaultMaxAge if zero.
	MaxHistory int
	MaxAge     time.Duration
	// CloseTimeout is how long Close waits for the disk; 5 s if zero.
	CloseTimeout time.Duration
	// Step is called at each step that a crash could come after, by several
	// goroutines and with locks held; for tests.
	Step func(name string)
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	o.MaxHistory = cmp.Or(o.MaxHistory, DefaultMaxHistory)
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	o.CloseTimeout = cmp.Or(o.CloseTimeout, 5*time.Second)
	if o.Step == nil {
		o.Step = func(string) {}
	}
	return o
}

// Dir is an open state directory, locked for this process. Its methods may be
// called concurrently as long as no two of them deal with the same container.
type Dir struct {
	path         string
	files        string
	records      *records
	step         func(string)
	closeTimeout time.Duration
	// dirs is held for reading while a directory is made that is empty for a
	// moment, and for writing while empty ones are removed.
	dirs sync.RWMutex
}

// Open takes the state directory at path, made if it is missing, and locks it.
// It returns an error that is ErrLocked if another process has it. Records that
// can't be read or written are no error of Open: see Stats.
func Open(path string, o Options) (*Dir, error) {
	o = o.withDefaults()
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
	files, err := filesDir(path, o.Files)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkPods(path), checkPods(files)); err != nil {
		return nil, err
	}
	held, err := LockFile(filepath.Join(path, "lock"))
	if err != nil {
		return nil, fmt.Errorf("state directory %s: %w", path, err)
	}
	o.Step("locked")
	sweep(path)
	return &Dir{path: path, files: files, records: openRecords(path, o, held.Close), step: o.Step, closeTimeout: o.CloseTimeout}, nil
}

// filesDir is the directory of planted files of a state directory, made if it is
// missing, with the kubelet's mode, as it may be the kubelet's too. What is root's
// alone is "pods", as in Open.
func filesDir(path, files string) (string, error) {
	if files == "" {
		return path, nil
	}
	files, err := filepath.Abs(files)
	if err != nil {
		return "", fmt.Errorf("directory of planted files: %w", err)
	}
	if err := os.MkdirAll(files, 0o750); err != nil {
		return "", fmt.Errorf("directory of planted files: %w", err)
	}
	if err := os.Mkdir(filepath.Join(files, podsName), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("directory of planted files: %w", err)
	}
	if st, err := os.Lstat(filepath.Join(files, podsName)); err != nil || st.Mode() != fs.ModeDir|0o700 {
		// The kubelet's, for example, whose files would be taken for leftovers.
		return "", errors.Join(err, fmt.Errorf("directory of planted files: %s is not the agent's: choose another directory", filepath.Join(files, podsName)))
	}
	if files, err = filepath.EvalSymlinks(files); err != nil {
		return "", fmt.Errorf("directory of planted files: %w", err)
	}
	return files, nil
}

// sweep removes what writes at the top of the directory left unfinished.
func sweep(path string) {
	names, err := filepath.Glob(filepath.Join(path, Unfinished+"*"))
	if err != nil {
		return // the path is an odd pattern, and a few small files stay
	}
	for _, name := range names {
		_ = os.Remove(name) // or stays
	}
}

// openRecords reads the records, those of an older layout too, and starts the
// writer. release is called when it has ended.
func openRecords(path string, o Options, release func() error) *records {
	db := &database{
		name: filepath.Join(path, databaseName), log: o.Log, step: o.Step,
		maxPlacements: o.MaxHistory, maxAge: o.MaxAge,
	}
	s := newRecords(db, o, release)
	loaded, err := db.load()
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		db.bad, loaded = damaged.Err, contents{live: map[string]Record{}}
		err = db.setAside()
		if errors.As(err, &damaged) {
			s.stats.SetAside = damaged.Kept
		}
	} else if err != nil {
		o.Log.Warn("container records can't be read: what they say is found out again", slog.Any("error", err))
		s.stats.Error = err.Error()
	}
	s.live, s.stats.History = loaded.live, loaded.history
	s.old = readOld(filepath.Join(path, oldRecords), o.Log)
	for key, r := range s.old.records {
		if _, ok := s.live[key]; !ok {
			s.live[key] = r
			s.note(key, change{live: &r})
		}
	}
	o.Step("loaded")
	s.poke() // opens the database, and shortens the history
	go s.run()
	return s
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

// Close commits the records that are not on disk yet and lets go of the lock.
// It returns an error if they can't be written, or not in time: then the lock is
// held until the disk has answered. Planted files stay.
func (d *Dir) Close() error { return d.records.close(d.closeTimeout) }

// Path returns the directory's absolute path, links resolved.
func (d *Dir) Path() string { return d.path }

// FilesPath returns the absolute path of the directory that planted files are
// made in, links resolved; Path if it is the same.
func (d *Dir) FilesPath() string { return d.files }

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
func (d *Dir) write(name string, content []byte, m fileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), Unfinished+"*") // 0600
	if err != nil {
		return err
	}
	return d.finish(f, name, content, m)
}

// finish fills an unfinished file and puts it in place, or removes it.
func (d *Dir) finish(f *os.File, name string, content []byte, m fileMode) (err error) {
	d.step("file made")
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
	d.step("file written")
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d.step("file in place")
	if !m.sync {
		return nil
	}
	return SyncDir(filepath.Dir(name))
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

// SyncDir has the disk keep which files a directory has.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
