package check

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// NRIPresent looks whether the runtime's NRI socket is there.
func (m Machine) NRIPresent() Row {
	r := Row{Name: "NRI socket", Status: OK, Detail: m.NRISocket}
	st, err := os.Stat(m.NRISocket)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.Status, r.Detail = Fail, m.NRISocket+" does not exist"
		r.Advice = "start containerd 2 or CRI-O, switch NRI on in containerd 1.7, or set nri.socket"
	case err != nil:
		r.Status, r.Detail = Fail, err.Error()
	case st.Mode().Type() != fs.ModeSocket:
		r.Status, r.Detail = Fail, m.NRISocket+" is not a socket"
		r.Advice = "set nri.socket"
	}
	return r
}

// NRI also looks whether somebody listens. The runtime logs a plugin that came
// and went.
func (m Machine) NRI() Row {
	r := m.NRIPresent()
	if r.Status != OK {
		return r
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", m.NRISocket)
	if err != nil {
		r.Status, r.Detail = Fail, fmt.Sprintf("nobody listens: %v", err)
		r.Advice = "start the container runtime"
		return r
	}
	_ = c.Close()
	r.Detail += " is listening"
	return r
}

// State looks whether the state directory can be used.
func (m Machine) State() Row { return directory("state directory", "stateDir", m.StateDir) }

// Files looks whether planted files can be made in their directory.
func (m Machine) Files() Row {
	if m.FilesDir == m.StateDir {
		return Row{Name: "planted files", Status: OK, Detail: "in the state directory"}
	}
	return directory("planted files", "filesDir", m.FilesDir)
}

// directory looks at one that is kept, and has to be the host's. key sets it.
func directory(name, key, dir string) Row {
	r := Row{Name: name, Status: OK, Detail: dir}
	base, err := firstExisting(dir)
	if err != nil {
		r.Status, r.Detail, r.Advice = Fail, err.Error(), "set "+key
		return r
	}
	if err := writable(base); err != nil {
		r.Status, r.Detail = Fail, fmt.Sprintf("%s can't be written: %v", base, reason(err))
		r.Advice = "run as root, mount it writable, or set " + key
		return r
	}
	kind, err := fileSystem(base)
	if err != nil {
		r.Status, r.Detail = Warn, fmt.Sprintf("%s: file system not known: %v", base, err)
		return r
	}
	r.Detail = fmt.Sprintf("%s on %s", dir, kind)
	if base != dir {
		r.Detail += ", will be made"
	}
	switch kind {
	case "tmpfs", "ramfs":
		r.Status, r.Advice = Warn, "it must survive a reboot: set "+key+" to a directory on disk"
	case "overlay":
		r.Status, r.Advice = Warn, "if this is a container's own file system, mount a directory of the host there: the runtime has to find the files"
	}
	return r
}

// Pinning looks whether programs can stay attached while the agent is away. If
// its status isn't OK, they can't.
func (m Machine) Pinning() Row {
	r := Row{Name: "pinning", Status: OK, Detail: "off: tokens are not watched while the agent is away"}
	if m.Pin == "" {
		if m.PinDefault != "" && exists(m.PinDefault) {
			r.Status = Warn
			r.Detail = "off, but programs are pinned at " + m.PinDefault
			r.Advice = "`beesting uninstall` removes them"
		}
		return r
	}
	base, err := firstExisting(m.Pin)
	kind := ""
	if err == nil {
		kind, err = fileSystem(base)
	}
	switch {
	case err != nil:
		r.Status, r.Detail = Fail, err.Error()
	case kind != "bpffs":
		r.Status, r.Detail = Fail, fmt.Sprintf("%s: on %s, not on a bpffs", m.Pin, kind)
	default:
		r.Detail = m.Pin + ": tokens stay watched while the agent is away"
		return r
	}
	r.Advice = "mount -t bpf bpf /sys/fs/bpf (in a container, mount the host's there), or set sensor.pin"
	if m.Pin == m.PinDefault {
		r.Status = Warn
		r.Detail += ": tokens are not watched while the agent is away"
	}
	return r
}

// PinPath gives the place where programs can stay attached, as Pinning found
// it; empty for nowhere.
func (m Machine) PinPath() string {
	if m.Pinning().Status != OK {
		return ""
	}
	return m.Pin
}

// firstExisting gives dir, or the nearest of its parents that is there.
func firstExisting(dir string) (string, error) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		st, err := os.Stat(at)
		switch {
		case err == nil && st.IsDir():
			return at, nil
		case err == nil:
			return "", fmt.Errorf("%s is not a directory", at)
		case !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at):
			return "", err
		}
	}
}

// writable makes a file and removes it.
func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".beesting-check-*")
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// reason leaves out the name of the file that was tried.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
