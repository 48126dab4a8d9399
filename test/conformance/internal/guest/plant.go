//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/conformance/internal/cases"
)

// user owns tokens and directories, and touches, unless the case says otherwise.
const user = 1000

// ground is where tokens are planted: a directory on one file system, and an
// overlay mounted on it for that form.
type ground struct {
	form string
	// base is on the file system itself; box is where the touchers are.
	base, box string
}

// mountPoints is where the VM harness mounts each file system.
func mountPoint(fs string) string {
	if fs == "tmpfs" {
		return "/tmp"
	}
	return "/mnt/" + fs
}

func newGround(fs, form string) (*ground, error) {
	base, err := os.MkdirTemp(mountPoint(fs), "conformance-")
	if err != nil {
		return nil, fmt.Errorf("ground: %w", err)
	}
	g := &ground{form: form, base: base, box: filepath.Join(base, "box")}
	dirs := []string{"state", "box", "lower", "upper", "work"}
	for _, d := range dirs {
		if err := os.Mkdir(filepath.Join(base, d), 0o755); err != nil {
			return nil, fmt.Errorf("ground: %w", err)
		}
	}
	if err := os.Chmod(base, 0o755); err != nil {
		return nil, fmt.Errorf("ground: %w", err)
	}
	if form == cases.FormOverlay {
		options := "lowerdir=" + g.in("lower") + ",upperdir=" + g.in("upper") + ",workdir=" + g.in("work")
		if err := unix.Mount("overlay", g.box, "overlay", 0, options); err != nil {
			return nil, fmt.Errorf("overlay on %s: %w", fs, err)
		}
	}
	return g, nil
}

func (g *ground) in(name string) string { return filepath.Join(g.base, name) }

func (g *ground) close() error {
	if g.form == cases.FormOverlay {
		if err := unix.Unmount(g.box, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("unmount the overlay: %w", err)
		}
	}
	return os.RemoveAll(g.base)
}

// planted is one token, ready to be watched.
type planted struct {
	ground *ground
	id     string
	// path is the token for its toucher; host is where the host has the file.
	path, scratch, host, hard string
	// What is watched, open with O_PATH: the token, the mount point it covers, the
	// directory where the case asks for it.
	token, covered, directory *os.File
	// inherit is the token opened for the toucher, or nil.
	inherit *os.File
}

// plant makes a file, its directory and a scratch directory, as a runtime would.
func (g *ground) plant(c cases.Case, n uint64) (p *planted, err error) {
	id := strconv.FormatUint(n, 10)
	root := filepath.Join(g.box, id)
	dirs := []string{root, filepath.Join(root, "etc"), filepath.Join(root, "scratch")}
	if c.Lower != 0 { // the first two show through
		dirs = dirs[2:]
		if err := g.lower(id); err != nil {
			return nil, fmt.Errorf("plant for %s: %w", c.Name, err)
		}
	}
	p = &planted{ground: g, id: id, path: filepath.Join(root, "etc", "password"), scratch: filepath.Join(root, "scratch")}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("plant for %s: %w", c.Name, err), p.close())
		}
	}()
	for _, dir := range dirs {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, user, user)); err != nil {
			return p, err
		}
	}
	source := p.path
	p.host = filepath.Join(g.in("upper"), id, "etc", "password")
	if g.form == cases.FormBind {
		source = filepath.Join(g.in("state"), id, "token")
		p.host = source
		if err := os.Mkdir(filepath.Dir(source), 0o755); err != nil {
			return p, err
		}
	}
	if c.Lower != 0 {
		source = filepath.Join(g.in("lower"), id, "etc", "password")
		if c.Lower == 1 {
			p.host = source
		}
	}
	p.hard = source + ".hard"
	if err := p.write(c, source); err != nil {
		return p, err
	}
	if g.form == cases.FormBind {
		if err := p.bind(source, c.RW != 0); err != nil {
			return p, err
		}
	}
	return p, p.open(c)
}

// lower makes a token's directories in the overlay's lower layer. Nobody has
// looked for them in the mounted overlay yet, so they show there.
func (g *ground) lower(id string) error {
	root := filepath.Join(g.in("lower"), id)
	for _, dir := range []string{root, filepath.Join(root, "etc")} {
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, user, user)); err != nil {
			return err
		}
	}
	return nil
}

func (p *planted) write(c cases.Case, source string) error {
	content := []byte("AKIAEXAMPLE:not-a-real-secret-of-any-account\n")
	switch c.Content {
	case "elf":
		var err error
		if content, err = os.ReadFile(toucher); err != nil {
			return err
		}
	case "script":
		content = []byte("#!" + toucher + " noop\n")
	}
	err := errors.Join(os.WriteFile(source, content, 0o600), os.Chmod(source, os.FileMode(c.Mode)),
		os.Chown(source, int(c.Owner), int(c.Owner)))
	if err == nil && c.Hardlink != 0 {
		err = os.Link(source, p.hard)
	}
	return err
}

// bind mounts the token over an empty file, which is watched as well: renaming
// or removing a mount point reaches that one only.
func (p *planted) bind(source string, writable bool) error {
	if err := os.WriteFile(p.path, nil, 0o644); err != nil {
		return err
	}
	var err error
	if p.covered, err = os.OpenFile(p.path, unix.O_PATH, 0); err != nil {
		return err
	}
	err = unix.Mount(source, p.path, "", unix.MS_BIND, "")
	if err == nil && !writable {
		err = unix.Mount("", p.path, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return err
}

func (p *planted) open(c cases.Case) error {
	var err error
	if p.token, err = os.OpenFile(p.path, unix.O_PATH, 0); err != nil {
		return err
	}
	if c.Directory != 0 {
		if p.directory, err = os.OpenFile(filepath.Dir(p.path), unix.O_PATH, 0); err != nil {
			return err
		}
	}
	if c.Inherit != 0 {
		// Before the mount became read-only, so to say.
		path := p.path
		if p.ground.form == cases.FormBind {
			path = p.host
		}
		p.inherit, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	return err
}

// close removes everything; it is called on what is half planted, too.
func (p *planted) close() error {
	for _, f := range []*os.File{p.token, p.covered, p.directory, p.inherit} {
		if f != nil {
			f.Close()
		}
	}
	if p.ground.form == cases.FormBind {
		// The case may have unmounted or moved it.
		_ = unix.Unmount(p.path, unix.MNT_DETACH)
	}
	return errors.Join(os.RemoveAll(filepath.Join(p.ground.box, p.id)), os.RemoveAll(filepath.Join(p.ground.in("state"), p.id)),
		os.RemoveAll(filepath.Join(p.ground.in("lower"), p.id)))
}
