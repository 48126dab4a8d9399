package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
	"github.com/beesting-otel/beesting/internal/state"
)

const (
	uninstallHelp = `Remove what an agent leaves on this machine when it ends: programs, links and
maps that are pinned on bpffs, with which tokens stay watched, and the control
socket. It says what was found, also with --dry-run, which removes nothing.

The state directory has records, the key that canary ids are made with, and the
journal of accesses, also of those that no back end has yet. It and the planted files
stay unless --state is given. Containers that run keep the planted
files that they have mounted, and nobody watches them any more.

While an agent or a Collector's receiver runs on this machine nothing is removed,
unless --force is given: it goes on as if nothing had happened, and what is
touched after its end is not seen.

Exit code 0 when nothing is left of what was to be removed.`
	uninstallExamples = `  # What is there?
  sudo beesting uninstall --dry-run

  # Nothing is to be left, no planted files either
  sudo beesting uninstall --state

  # What 'beesting watch --pin DIR' has left
  sudo beesting uninstall --pin /sys/fs/bpf/shadow`
)

func (a *app) uninstall() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "uninstall",
		Short:   "Remove what an agent leaves on this machine",
		Long:    uninstallHelp,
		Example: uninstallExamples,
		Args:    noArgs,
	}
	asJSON := jsonFlag(cmd)
	u := uninstaller{app: a}
	file := cmd.Flags().String("config", "", "take the places to look at from this configuration `FILE`")
	pin := cmd.Flags().String("pin", "", "look for pinned programs in this `DIR` alone, and at nothing else")
	_ = cmd.MarkFlagDirname("pin") // which exists
	cmd.Flags().BoolVar(&u.dryRun, "dry-run", false, "remove nothing, say what is there")
	cmd.Flags().BoolVar(&u.state, "state", false, "remove the state directory and the planted files too")
	cmd.Flags().BoolVar(&u.force, "force", false, "also while an agent runs")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.loadOrDefault(*file)
		if err != nil {
			return err
		}
		u.config, u.pin = c, cmp.Or(c.Sensor.Pin, config.DefaultPin)
		if cmd.Flags().Changed("pin") {
			if u.pin, err = config.CleanPin(*pin); err == nil && u.pin == "" {
				err = errors.New("must not be empty")
			}
			if err != nil {
				return usageError{fmt.Errorf("--pin: %w (see `%s --help`)", err, cmd.CommandPath())}
			}
			if u.state || *file != "" {
				return usageError{errors.New("--pin excludes --state and --config")}
			}
			u.pinOnly = true
		}
		report, err := u.run()
		switch {
		case report == nil:
			return err
		case *asJSON:
			return errors.Join(err, printJSON(a.stdout, report))
		default:
			return errors.Join(err, report.write(a.stdout))
		}
	}
	return cmd
}

// uninstaller is one run of the uninstall command.
type uninstaller struct {
	app                           *app
	config                        config.Config
	pin                           string
	dryRun, state, force, pinOnly bool
}

// leftovers are what was found on a machine, and what became of it.
type leftovers struct {
	DryRun bool `json:"dry_run"`
	// Running are the locks that somebody holds: an agent runs.
	Running []string `json:"running"`
	Pinned  leftover `json:"pinned"`
	// Control and State are left out if only pinned programs were looked for.
	Control leftover `json:"control,omitzero"`
	State   leftover `json:"state,omitzero"`
	// Files are the planted files, where they have a directory of their own.
	Files leftover `json:"files,omitzero"`
}

// leftover is one place.
type leftover struct {
	Path  string `json:"path"`
	Found bool   `json:"found"`
	// Names are what is in it, where it is worth a name.
	Names []string `json:"names,omitempty"`
	// PlantedFiles are those of a state directory.
	PlantedFiles int  `json:"planted_files,omitempty"`
	Removed      bool `json:"removed"`

	doomed bool // it is to be removed
}

// run looks at everything, then removes. It gives no report when it could not
// even look.
func (u *uninstaller) run() (*leftovers, error) {
	r, err := u.look()
	if err != nil {
		return nil, err
	}
	locks, err := u.lock(r)
	defer func() {
		for _, l := range locks {
			_ = l.Close() // nothing was written to it
		}
	}()
	switch {
	case err != nil:
		return nil, err
	case u.dryRun:
		return r, nil
	case len(r.Running) > 0 && !u.force:
		return r, fmt.Errorf("an agent is running: it holds %s: stop it first, or give --force", strings.Join(r.Running, " and "))
	}
	return r, u.remove(r)
}

func (u *uninstaller) look() (*leftovers, error) {
	r := &leftovers{DryRun: u.dryRun, Running: []string{}}
	var err error
	if r.Pinned, err = pinned(u.pin); err != nil || u.pinOnly {
		return r, err
	}
	r.Control = leftover{Path: u.config.ControlSocket, doomed: true}
	for _, name := range u.controlFiles() {
		there, err := exists(name)
		if err != nil {
			return nil, fmt.Errorf("control socket: %w", err)
		}
		if there {
			r.Control.Found, r.Control.Names = true, append(r.Control.Names, name)
		}
	}
	r.State = leftover{Path: u.config.StateDir, doomed: u.state}
	if err := u.lookFiles(r); err != nil {
		return nil, err
	}
	files, err := state.Look(r.State.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	r.State.Found, r.State.PlantedFiles = true, files
	return r, err
}

func (u *uninstaller) lookFiles(r *leftovers) (err error) {
	if u.config.FilesDir == u.config.StateDir {
		return nil
	}
	r.Files = leftover{Path: u.config.FilesDir, doomed: u.state}
	r.Files.PlantedFiles, r.Files.Found, err = state.LookFiles(r.Files.Path)
	return err
}

func (u *uninstaller) controlFiles() []string {
	return []string{u.config.ControlSocket, u.config.ControlSocket + ".lock"}
}

func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// pinned lists what is below a directory that has to be on bpffs: whatever else
// it is, it is named by mistake.
func pinned(dir string) (leftover, error) {
	l := leftover{Path: dir, doomed: true}
	var err error
	if l.Found, err = exists(dir); err != nil || !l.Found {
		return l, err
	}
	if row := (check.Machine{Pin: dir}).Pinning(); row.Status != check.OK {
		return l, fmt.Errorf("pinned programs: %s", row.Detail)
	}
	l.Names, err = agent.PinnedSensor(dir)
	return l, err
}

// lock takes the locks that agents hold, so that none starts meanwhile, and
// notes those that it can't have.
func (u *uninstaller) lock(r *leftovers) ([]*os.File, error) {
	places := []string{u.pin}
	if !u.pinOnly {
		places = append(places, u.config.ControlSocket+".lock", filepath.Join(u.config.StateDir, "lock"), filepath.Dir(u.config.NRI.Socket))
	}
	var held []*os.File
	for _, place := range slices.Compact(places) {
		f, err := state.Lock(place)
		switch {
		case err == nil:
			held = append(held, f)
		case errors.Is(err, state.ErrLocked):
			r.Running = append(r.Running, place)
		case errors.Is(err, fs.ErrNotExist):
		default:
			return held, fmt.Errorf("whether an agent runs is not known: %w", err)
		}
	}
	return held, nil
}

// remove goes on after an error: as little as possible is to be left.
func (u *uninstaller) remove(r *leftovers) error {
	var errs []error
	done := func(l *leftover, err error) {
		l.Removed = err == nil
		errs = append(errs, err)
	}
	if r.Pinned.Found {
		err := agent.UninstallSensor(u.pin)
		if left, errLook := agent.PinnedSensor(u.pin); err == nil && (len(left) > 0 || errLook != nil) {
			err = errors.Join(fmt.Errorf("pinned programs: %s still has %s", u.pin, strings.Join(left, ", ")), errLook)
		}
		done(&r.Pinned, err)
	}
	if r.Control.Found {
		done(&r.Control, u.removeControl())
	}
	if r.Files.Found && u.state {
		done(&r.Files, state.EraseFiles(r.Files.Path))
	}
	if r.State.Found && u.state {
		done(&r.State, state.Erase(r.State.Path))
	}
	return errors.Join(errs...)
}

// removeControl removes socket and lock, and their directory if nothing else is
// in it and it isn't one that other programs share.
func (u *uninstaller) removeControl() error {
	for _, name := range u.controlFiles() {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("control socket: %w", err)
		}
	}
	if dir := filepath.Dir(u.config.ControlSocket); filepath.Base(dir) == "beesting" {
		_ = os.Remove(dir) // if it is empty
	}
	return nil
}

// write is for people.
func (r *leftovers) write(w io.Writer) error {
	var b strings.Builder
	if r.DryRun && len(r.Running) > 0 {
		fmt.Fprintf(&b, "an agent is running: it holds %s\n", strings.Join(r.Running, " and "))
	}
	line := func(what string, l leftover, found string) {
		became := "kept"
		switch {
		case l.Path == "":
			return // was not looked at
		case !l.Found:
			found, became = "nothing", "found"
		case l.Removed:
			became = "removed"
		case l.doomed && r.DryRun:
			became = "would be removed"
		case !l.doomed:
			became = "kept (--state removes it)"
		}
		fmt.Fprintln(&b, printable(fmt.Sprintf("%-16s %s: %s %s", what, l.Path, found, became)))
	}
	line("pinned", r.Pinned, fmt.Sprintf("%d programs, links and maps", len(r.Pinned.Names)))
	line("control socket", r.Control, strings.Join(r.Control.Names, " and "))
	line("state directory", r.State, fmt.Sprintf("%d planted files", r.State.PlantedFiles))
	line("planted files", r.Files, fmt.Sprintf("%d planted files", r.Files.PlantedFiles))
	_, err := io.WriteString(w, b.String())
	return err
}
