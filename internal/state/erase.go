package state

import (
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
	case "lock", "node.key", "watched", oldRecords, "pods", "hook", "run":
		return true
	}
	// The database, and those that were set aside.
	return name == databaseName || strings.HasPrefix(name, databaseName+".") ||
		strings.HasPrefix(name, Unfinished) || strings.HasPrefix(name, ".check-") || strings.HasPrefix(name, ".beesting-check-")
}
