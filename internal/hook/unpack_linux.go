package hook

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxProgram bounds the program, in bytes: the promise of the documentation.
const maxProgram = 3 << 20

// retirement is how long a program that a newer one has replaced stays. A hook
// that can't be executed fails its container, and a container that was created
// with the old path can be started later.
const retirement = 24 * time.Hour

// retiredSuffix marks, beside a program, since when it has been replaced.
const retiredSuffix = ".old"

// Program is the unpacked hook program.
type Program struct {
	path string
	file *os.File // the inode can't be used again while it is open
	info os.FileInfo
}

// Path is where the program is.
func (p *Program) Path() string { return p.path }

// Close lets go of the program, which stays where it is.
func (p *Program) Close() error { return p.file.Close() }

// intact says that the path still leads to the program.
func (p *Program) intact() error {
	info, err := os.Stat(p.path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProgramGone, err)
	}
	if !os.SameFile(info, p.info) || info.Mode() != p.info.Mode() || info.Size() != p.info.Size() {
		return fmt.Errorf("%w: %s", ErrProgramGone, p.path)
	}
	return nil
}

// Unpack installs the hook program for this architecture in dir, as name and a
// part of its hash, and makes sure that it can be executed there. What is there
// already is used if its content is right; other versions are removed a day
// after they were first found to be replaced. dir is made with mode 0700 if it
// is missing. The runtime must see it at the same path, and nobody but root may
// be able to change it.
//
// One process at a time may unpack into a directory.
func Unpack(dir, name string) (*Program, error) {
	p, err := unpack(dir, name, time.Now())
	if err != nil {
		return nil, fmt.Errorf("hook program in %s: %w", dir, err)
	}
	return p, nil
}

func unpack(dir, name string, now time.Time) (*Program, error) {
	if name == "" || len(name) > 64 || name[0] == '.' || strings.ContainsAny(name, "/\x00\n") {
		return nil, fmt.Errorf("name %q is not one for a file", name)
	}
	dir, err := directory(dir)
	if err != nil {
		return nil, err
	}
	content, err := decompress()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(content)
	path := filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:6]))
	if !installed(path, content) {
		if err := install(path, content); err != nil {
			return nil, err
		}
	}
	if err := probe(path); err != nil {
		return nil, err
	}
	if err := retire(dir, name, path, now); err != nil {
		return nil, err
	}
	return openProgram(path)
}

func openProgram(path string) (*Program, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Program{path: path, file: f, info: info}, nil
}

func decompress() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(compressedProgram))
	if err != nil {
		return nil, fmt.Errorf("embedded program: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(z, maxProgram+1))
	if err != nil {
		return nil, fmt.Errorf("embedded program: %w", err)
	}
	if len(content) > maxProgram {
		return nil, fmt.Errorf("embedded program: more than %d bytes", maxProgram)
	}
	return content, nil
}

// directory makes dir, and refuses one where nothing can be executed or where
// others could put their own program in place of ours. It returns its path
// without symbolic links.
func directory(dir string) (string, error) {
	if !filepath.IsAbs(dir) {
		return "", errors.New("the path is not absolute")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	for up := dir; ; up = filepath.Dir(up) {
		if err := private(up, up == dir); err != nil {
			return "", err
		}
		if up == filepath.Dir(up) {
			break
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return "", fmt.Errorf("file system: %w", err)
	}
	if st.Flags&unix.ST_NOEXEC != 0 {
		return "", errors.New("the file system is mounted noexec: choose a directory of one that isn't, or mount it exec")
	}
	return dir, nil
}

// private refuses a directory that another user could change. Above the last
// one a sticky directory (/tmp) will do: others can't rename what isn't theirs.
func private(dir string, last bool) error {
	st, err := os.Stat(dir)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("owner of %s: %w", dir, errors.ErrUnsupported)
	}
	if sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to uid %d, who could replace the program", dir, sys.Uid)
	}
	if st.Mode().Perm()&0o022 != 0 && (last || st.Mode()&fs.ModeSticky == 0) {
		return fmt.Errorf("others can write to %s (mode %04o) and replace the program", dir, st.Mode().Perm())
	}
	return nil
}

// installed says that path is the program, ours alone and executable.
func installed(path string, content []byte) bool {
	st, err := os.Lstat(path)
	if err != nil || st.Mode() != 0o700 || st.Size() != int64(len(content)) {
		return false
	}
	if sys, ok := st.Sys().(*syscall.Stat_t); !ok || int(sys.Uid) != os.Geteuid() {
		return false
	}
	there, err := os.ReadFile(path)
	return err == nil && bytes.Equal(there, content)
}

// install puts content at path, whole or not at all, also if the machine stops.
func install(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), temporary(path))
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o700), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// temporary is the pattern of the program's name while it is written.
func temporary(path string) string { return "." + filepath.Base(path) + ".*" }

// probe runs the program without a task, which it ends at once. Only that shows
// that nothing else is in the way: an architecture, a security module.
func probe(path string) error {
	deadline := time.Now().Add(5 * time.Second)
	for {
		err := (&exec.Cmd{Path: path, Args: []string{path}, Env: []string{}}).Run()
		switch {
		case err == nil:
			return nil
		// Another goroutine's child, between fork and exec, has a copy of the
		// descriptor that the file was written through (golang.org/issue/22315).
		case errors.Is(err, syscall.ETXTBSY) && time.Now().Before(deadline):
			time.Sleep(5 * time.Millisecond)
		default:
			return fmt.Errorf("try it: %w", err)
		}
	}
}

// retire clears away what earlier versions left: at once if it was never
// finished, a day after it was replaced otherwise.
func retire(dir, name, current string, now time.Time) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case isVersion(strings.TrimPrefix(e.Name(), "."), name, true) && e.Name()[0] == '.':
			err = errors.Join(err, os.Remove(path))
		case path == current:
			err = errors.Join(err, remove(path+retiredSuffix))
		case isVersion(e.Name(), name, false):
			err = errors.Join(err, retireOne(path, now))
		}
	}
	return err
}

// isVersion says that the entry is name-HASH; with a suffix if that is wanted.
func isVersion(entry, name string, suffix bool) bool {
	hash, ok := strings.CutPrefix(entry, name+"-")
	hash, _, cut := strings.Cut(hash, ".")
	return ok && cut == suffix && len(hash) == 12 && strings.Trim(hash, "0123456789abcdef") == ""
}

func retireOne(path string, now time.Time) error {
	mark := path + retiredSuffix
	st, err := os.Lstat(mark)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.WriteFile(mark, nil, 0o600); err != nil {
			return err
		}
		return os.Chtimes(mark, now, now)
	case err != nil:
		return err
	case now.Sub(st.ModTime()) < retirement:
		return nil
	}
	// The mark goes last: without it the program would get another day.
	return errors.Join(remove(path), remove(mark))
}

// remove removes what may be gone.
func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
