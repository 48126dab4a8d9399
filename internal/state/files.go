package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// File is what to write.
type File struct {
	PodUID, ContainerName, ContainerID string
	// Token is the token's name.
	Token   string
	Content []byte
	Mode    fs.FileMode
	UID     int
	GID     int
	// ModTime is when the file says it was written; the zero time for now.
	ModTime time.Time
}

// FilePath returns where Write will put f: unique per container and token.
func (d *Dir) FilePath(f File) string { return filePath(d.files, f) }

// Find returns where f is, which may have been planted before another directory was
// chosen for such files; FilePath if it is nowhere.
func (d *Dir) Find(f File) string {
	name, before := filePath(d.files, f), filePath(d.path, f)
	if name == before {
		return name
	}
	if _, err := os.Lstat(name); err == nil {
		return name
	}
	if _, err := os.Lstat(before); err == nil {
		return before
	}
	return name
}

func filePath(dir string, f File) string {
	sum := sha256.Sum256([]byte(f.ContainerID + "\x00" + f.Token))
	return filepath.Join(dir, podsName, component(f.PodUID), "containers", component(f.ContainerName),
		hex.EncodeToString(sum[:4]))
}

// Write makes the file and returns its path. No one ever sees a part of it. A
// file of the same container and token is replaced by a new inode.
func (d *Dir) Write(f File) (string, error) {
	name := d.FilePath(f)
	made, err := d.temporary(filepath.Dir(name))
	if err == nil {
		err = d.finish(made, name, f.Content, fileMode{mode: f.Mode.Perm(), uid: f.UID, gid: f.GID, modTime: f.ModTime})
	}
	if err != nil {
		d.prune(name)
		return "", fmt.Errorf("token file: %w", err)
	}
	return name, nil
}

// temporary makes an unfinished file in a directory that it makes, too. From then
// on that isn't empty, and stays.
func (d *Dir) temporary(dir string) (*os.File, error) {
	d.dirs.RLock()
	defer d.dirs.RUnlock()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.CreateTemp(dir, Unfinished+"*") // 0600
}

// Owns reports whether path is where planted files are.
func (d *Dir) Owns(path string) bool {
	_, ok := d.Split(path)
	return ok
}

// Split returns the directory that a planted file is in, below which no link leads
// to it; false for what is none.
func (d *Dir) Split(path string) (dir string, ok bool) {
	path = filepath.Clean(path)
	for _, dir := range []string{d.files, d.path} {
		if strings.HasPrefix(path, filepath.Join(dir, podsName)+"/") {
			return dir, true
		}
	}
	return "", false
}

// Remove removes planted files and the directories that are empty then. What
// isn't there is no error; what isn't below this directory is one.
func (d *Dir) Remove(files ...string) error {
	var errs []error
	for _, file := range files {
		if !d.Owns(file) {
			errs = append(errs, fmt.Errorf("token file %s: not a planted one", file))
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("token file: %w", err))
			continue
		}
		d.step("file removed")
		d.prune(file)
	}
	return errors.Join(errs...)
}

// prune removes the empty directories above file, up to pods. The first that
// can't be removed, as a rule because it isn't empty, ends it.
func (d *Dir) prune(file string) {
	d.dirs.Lock()
	defer d.dirs.Unlock()
	for dir := filepath.Dir(file); d.Owns(dir); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return
		}
	}
}

// Leftovers lists every planted file and every container with a record, for
// the caller to remove those that nobody uses any more. Unfinished writes are
// among the files.
func (d *Dir) Leftovers() (files, containers []string, err error) {
	files, err = plantedFiles(d.path)
	if d.files != d.path {
		more, moreErr := plantedFiles(d.files)
		files, err = append(files, more...), errors.Join(err, moreErr)
	}
	return files, d.records.containers(), err
}

// checkPods returns an error for a directory that has the kubelet's pods, say: what
// is in there is removed when no container needs it.
func checkPods(dir string) error {
	names, err := filepath.Glob(filepath.Join(dir, podsName, "*", "*"))
	if err != nil {
		return nil //nolint:nilerr // the path is an odd pattern, which the kubelet's isn't
	}
	for _, name := range names {
		if filepath.Base(name) != "containers" {
			return fmt.Errorf("directory of planted files: %s is not the agent's: choose another directory", name)
		}
	}
	return nil
}

// plantedFiles lists the files below the directory of planted files at path.
func plantedFiles(path string) (files []string, err error) {
	walk := func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // removed meanwhile
		case err != nil:
			return err
		case !entry.IsDir():
			files = append(files, name)
		}
		return nil
	}
	if err := filepath.WalkDir(filepath.Join(path, podsName), walk); err != nil {
		return nil, fmt.Errorf("planted files: %w", err)
	}
	return files, nil
}
