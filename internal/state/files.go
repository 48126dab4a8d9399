package state

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Record says what the planted files of one container are.
type Record struct {
	Container string  `json:"container"`
	Tokens    []Token `json:"tokens"`
	// Name is the container's in its pod. It and the pod say whose tokens they
	// were when the container is gone; older records don't have them.
	Name      string `json:"name,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	PodUID    string `json:"pod_uid,omitempty"`
}

// Token is one planted file.
type Token struct {
	Name string `json:"name"`
	Kind string `json:"kind,omitempty"`
	// Path is where the container has it, File where the host does.
	Path      string    `json:"path"`
	File      string    `json:"file"`
	PlantedAt time.Time `json:"planted_at"`
}

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
func (d *Dir) FilePath(f File) string {
	sum := sha256.Sum256([]byte(f.ContainerID + "\x00" + f.Token))
	return filepath.Join(d.path, "pods", component(f.PodUID), "containers", component(f.ContainerName),
		hex.EncodeToString(sum[:4]))
}

// component makes a file name of s. Ids and names come from the runtime, and
// none of them may lead elsewhere.
func component(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if s != "" && len(s) <= 128 && s[0] != '.' && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}

// Write makes the file and returns its path. No one ever sees a part of it. A
// file of the same container and token is replaced by a new inode.
func (d *Dir) Write(f File) (string, error) {
	name := d.FilePath(f)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return "", fmt.Errorf("token file: %w", err)
	}
	if err := d.write(name, f.Content, fileMode{mode: f.Mode.Perm(), uid: f.UID, gid: f.GID, modTime: f.ModTime}); err != nil {
		d.prune(name)
		return "", fmt.Errorf("token file: %w", err)
	}
	return name, nil
}

// Owns reports whether path is where planted files are.
func (d *Dir) Owns(path string) bool {
	return strings.HasPrefix(filepath.Clean(path), filepath.Join(d.path, "pods")+"/")
}

// Remove removes planted files and the directories that are empty then. What
// isn't there is no error; what isn't below this directory is one.
func (d *Dir) Remove(files ...string) error {
	var errs []error
	for _, file := range files {
		if !d.Owns(file) {
			errs = append(errs, fmt.Errorf("token file %s: not in the state directory", file))
			continue
		}
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("token file: %w", err))
			continue
		}
		d.prune(file)
	}
	return errors.Join(errs...)
}

// prune removes the empty directories above file, up to pods. The first that
// can't be removed, as a rule because it isn't empty, ends it.
func (d *Dir) prune(file string) {
	for dir := filepath.Dir(file); d.Owns(dir); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return
		}
	}
}

func (d *Dir) recordPath(container string) string {
	return filepath.Join(d.path, "containers", component(container)+".json")
}

// WriteRecord stores r, over an earlier one of the same container.
func (d *Dir) WriteRecord(r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("container record: %w", err)
	}
	name := d.recordPath(r.Container)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fmt.Errorf("container record: %w", err)
	}
	if err := d.write(name, append(b, '\n'), fileMode{mode: 0o600}); err != nil {
		return fmt.Errorf("container record: %w", err)
	}
	return nil
}

// Record returns what was stored for a container; an error that is
// fs.ErrNotExist if nothing was.
func (d *Dir) Record(container string) (Record, error) {
	return readRecord(d.recordPath(container))
}

func readRecord(name string) (Record, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return Record{}, fmt.Errorf("container record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return Record{}, fmt.Errorf("container record %s: %w", name, err)
	}
	return r, nil
}

// RemoveRecord removes what was stored for a container, if anything was.
func (d *Dir) RemoveRecord(container string) error {
	if err := os.Remove(d.recordPath(container)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("container record: %w", err)
	}
	return nil
}

// Leftovers lists every planted file and every container with a record, for
// the caller to remove those that nobody uses any more. Unfinished writes are
// among the files.
func (d *Dir) Leftovers() (files, containers []string, err error) {
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
	if err := filepath.WalkDir(filepath.Join(d.path, "pods"), walk); err != nil {
		return nil, nil, fmt.Errorf("planted files: %w", err)
	}
	records, err := filepath.Glob(filepath.Join(d.path, "containers", "*.json"))
	if err != nil {
		return nil, nil, fmt.Errorf("container records: %w", err)
	}
	for _, name := range records {
		r, err := readRecord(name)
		if err != nil || r.Container == "" {
			// Damaged: its name is the container's in all but odd cases.
			r.Container = strings.TrimSuffix(filepath.Base(name), ".json")
		}
		containers = append(containers, r.Container)
	}
	return files, containers, nil
}
