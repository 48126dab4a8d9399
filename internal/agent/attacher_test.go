package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/beesting-otel/beesting/internal/live"
)

// fakeAttacher stands in for the kernel's mounts: a hard link in the directory
// that stands for the container's root. Package live has tests of its own with
// real containers.
type fakeAttacher struct {
	mu       sync.Mutex
	attached int
	refuse   error
}

func (f *fakeAttacher) Attach(p live.Process, source *os.File, path string, o live.Options) (live.Attached, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return live.Attached{}, f.refuse
	}
	target := filepath.Join(p.ProcRoot, strconv.Itoa(p.PID), "root", path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return live.Attached{}, err
	}
	if o.Overwrite {
		_ = os.Remove(target)
	}
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(source.Fd())))
	if err != nil {
		return live.Attached{}, err
	}
	if err := os.Link(name, target); errors.Is(err, os.ErrExist) {
		return live.Attached{}, live.ErrExists
	} else if err != nil {
		return live.Attached{}, err
	}
	f.attached++
	mounts, err := os.OpenFile(filepath.Join(p.ProcRoot, strconv.Itoa(p.PID), "mountinfo"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return live.Attached{}, err
	}
	defer mounts.Close()
	if _, err := fmt.Fprintf(mounts, "1 1 0:1 %s %s ro - ext4 disk rw\n", name, path); err != nil {
		return live.Attached{}, err
	}
	return live.Attached{Made: []live.Made{{Depth: 3}}}, nil
}

func (f *fakeAttacher) Detach(p live.Process, path string, a live.Attached) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse != nil {
		return f.refuse
	}
	target := filepath.Join(p.ProcRoot, strconv.Itoa(p.PID), "root", path)
	if at := inodeAt(target); at.ino != a.Source.Ino || at.ino == 0 {
		return live.ErrNotAttached
	}
	return os.Remove(target)
}

func (f *fakeAttacher) HostIDs(_ live.Process, uid, gid uint32) (hostUID, hostGID uint32, err error) {
	return uid, gid, nil
}
