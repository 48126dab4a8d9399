package state

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Look says how many planted files the state directory at path holds, without
// the lock. It returns an error that is fs.ErrNotExist if there is none.
func Look(path string) (files int, err error) {
	if _, err := os.ReadDir(path); err != nil {
		return 0, fmt.Errorf("state directory: %w", err)
	}
	all, err := plantedFiles(path)
	return len(all), err
}

// LookFiles says how many planted files are in a directory that is Options.Files of
// a state directory, and whether anything of an agent's is there.
func LookFiles(files string) (n int, found bool, err error) {
	if _, err := os.Lstat(filepath.Join(files, podsName)); errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	all, err := plantedFiles(files)
	return len(all), true, err
}

// EraseFiles removes the planted files from a directory that is Options.Files of a
// state directory, whose lock the caller should hold. Whatever else is in it stays;
// so does everything if what should have planted files has anything of another form.
func EraseFiles(files string) error {
	pods := filepath.Join(files, podsName)
	all, err := plantedFiles(files)
	if err != nil {
		return err
	}
	for _, name := range all {
		if rel, _ := filepath.Rel(pods, name); !plantedName(rel) {
			return fmt.Errorf("planted files: %s is not the agent's: nothing is removed", name)
		}
	}
	if err := os.RemoveAll(pods); err != nil {
		return fmt.Errorf("planted files: %w", err)
	}
	return nil
}

// plantedName reports whether a path below "pods" has the form of FilePath's, or of
// one that was being written.
func plantedName(rel string) bool {
	part := strings.Split(rel, "/")
	if len(part) != 4 || part[1] != "containers" {
		return false
	}
	_, err := hex.DecodeString(part[3])
	return strings.HasPrefix(part[3], Unfinished) || err == nil && len(part[3]) == 8
}

// Erase removes the state directory at path, whose lock the caller should hold.
// Containers that run keep the planted files that they have mounted, and the
// canary ids of the next agent's tokens will be others. A directory that holds
// anything else is named by mistake: nothing in it is removed.
func Erase(path string) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	for _, e := range entries {
		if !ours(e.Name()) {
			return fmt.Errorf("state directory: %s is not the agent's: nothing is removed", filepath.Join(path, e.Name()))
		}
	}
	var errs []error
	for _, e := range entries {
		if e.Name() != "lock" { // last, below
			// A link is removed, not followed.
			errs = append(errs, os.RemoveAll(filepath.Join(path, e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if err := os.Remove(filepath.Join(path, "lock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state directory: %w", err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	return nil
}

// ours reports whether an entry of a state directory is an agent's; unfinished
// writes are.
func ours(name string) bool {
	switch name {
	case "lock", "node.key", "watched", oldRecords, podsName, "hook", "run", "journal":
		return true
	}
	// The database, and those that were set aside.
	return name == databaseName || strings.HasPrefix(name, databaseName+".") ||
		strings.HasPrefix(name, Unfinished) || strings.HasPrefix(name, ".check-") || strings.HasPrefix(name, ".beesting-check-")
}
