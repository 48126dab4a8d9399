package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/agent"
)

// target is a file to watch: open, so that what is checked is what is watched.
type target struct {
	placement beesting.Placement
	file      *os.File // O_PATH
}

// fileErrors are the files of a command line that can't be watched.
type fileErrors []error

func (e fileErrors) Error() string   { return errors.Join(e...).Error() }
func (e fileErrors) Unwrap() []error { return e }

// openTargets opens all files, or none when one of them can't be watched. A
// second name of a file, be it the same, a link or a hard link, adds nothing.
func openTargets(names []string, hostID string) ([]target, error) {
	var targets []target
	var errs fileErrors
	seen := map[string]bool{}
	for _, name := range names {
		f, id, err := openTarget(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if seen[id] {
			_ = f.Close() // nothing was written to it
			continue
		}
		seen[id] = true
		targets = append(targets, target{file: f, placement: placement(f.Name(), hostID)})
	}
	if len(errs) > 0 {
		closeTargets(targets)
		return nil, errs
	}
	nameTokens(targets)
	return targets, nil
}

func closeTargets(targets []target) {
	for _, t := range targets {
		_ = t.file.Close()
	}
}

// openTarget gives a regular file under its absolute name, and an identity that
// all of its names share.
func openTarget(name string) (*os.File, string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return nil, "", err
	}
	f, err := openPath(path)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, reason(err))
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("is %s: only regular files can be watched", kindOf(st.Mode()))
	}
	id := ""
	if err == nil {
		id, err = identity(st)
	}
	if err != nil {
		_ = f.Close()
		return nil, "", fmt.Errorf("%s: %w", name, reason(err))
	}
	return f, id, nil
}

func reason(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

func kindOf(m fs.FileMode) string {
	switch m.Type() {
	case fs.ModeDir:
		return "a directory"
	case fs.ModeNamedPipe:
		return "a named pipe"
	case fs.ModeSocket:
		return "a socket"
	default:
		return "a device"
	}
}

// placement describes a file of the host as a token. Its canary id is the same
// in every run on this host.
func placement(path, hostID string) beesting.Placement {
	host := path
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		host = resolved
	}
	// No secret: what is watched here was not made by us, and nobody can plant
	// a file with an id of his choice.
	id := agent.NewIdentity([]byte("beesting watch " + hostID))
	return beesting.Placement{
		ID:       id.PlacementID("", path),
		Token:    beesting.Token{Kind: beesting.KindGeneric, Path: path},
		TokenID:  id.TokenID("", path),
		HostPath: host,
	}
}

// nameTokens makes token names of the files' own: "id_rsa" becomes "id-rsa", a
// second one "id-rsa-2".
func nameTokens(targets []target) {
	used := map[string]bool{}
	for i := range targets {
		t := &targets[i].placement.Token
		base := slug(filepath.Base(t.Path))
		t.Name = base
		for n := 2; used[t.Name]; n++ {
			suffix := "-" + strconv.Itoa(n)
			t.Name = strings.Trim(base[:min(len(base), 63-len(suffix))], "-") + suffix
		}
		used[t.Name] = true
	}
}

// slug gives s the form of a token's name.
func slug(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	s = strings.Trim(s[:min(len(s), 63)], "-")
	if s == "" {
		return "file"
	}
	return s
}
