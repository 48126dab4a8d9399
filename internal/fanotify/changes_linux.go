//go:build linux && (amd64 || arm64)

package fanotify

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
)

// changes is a second group, of notifications: changes of attributes and names
// are not for a group of permission events (FAN_REPORT_FID needs
// FAN_CLASS_NOTIF). Nobody waits for them, so the process may have gone when it
// is looked at. A pidfd says whether it has, hence FAN_REPORT_PIDFD: Linux 5.15,
// and 5.10.220 of the stable series.
type changes struct {
	group   *os.File
	mu      sync.Mutex
	watches map[string]*Watch
	failed  int
}

const changeEvents = unix.FAN_ATTRIB | unix.FAN_MOVE_SELF

// openChanges returns nil where the kernel doesn't have it.
func openChanges() *changes {
	const flags = unix.FAN_CLASS_NOTIF | unix.FAN_REPORT_FID | unix.FAN_REPORT_PIDFD |
		unix.FAN_CLOEXEC | unix.FAN_NONBLOCK | unix.FAN_UNLIMITED_MARKS
	fd, err := unix.FanotifyInit(flags, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil
	}
	return &changes{group: os.NewFile(uintptr(fd), "fanotify"), watches: make(map[string]*Watch)}
}

// add marks a file if its file system has file handles; not all have.
func (c *changes) add(w *Watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, err := handleOf(w.pin)
	if err == nil {
		err = c.mark(unix.FAN_MARK_ADD, w)
	}
	if err != nil {
		c.failed++
		return
	}
	w.changed = id
	c.watches[id] = w
}

func (c *changes) remove(w *Watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.changed == "" {
		return
	}
	// An error leaves a mark whose events nobody knows; it ends with the inode.
	_ = c.mark(unix.FAN_MARK_REMOVE, w)
	delete(c.watches, w.changed)
}

func (c *changes) mark(flags uint, w *Watch) error {
	raw, err := c.group.SyscallConn()
	if err != nil {
		return fmt.Errorf("fanotify group: %w", err)
	}
	var markErr error
	if err := raw.Control(func(fd uintptr) {
		markErr = unix.FanotifyMark(int(fd), flags, changeEvents, unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", w.pin.Fd()))
	}); err != nil {
		return fmt.Errorf("fanotify group: %w", err)
	}
	return markErr
}

func (c *changes) close() error { return c.group.Close() }

// atHandleFid asks for a handle that can only be compared, which more file
// systems give (6.5).
const atHandleFid = 0x200

// handleOf names the file as events do: file system id and file handle.
func handleOf(f *os.File) (string, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return "", fmt.Errorf("file system: %w", err)
	}
	h, _, err := unix.NameToHandleAt(int(f.Fd()), "", unix.AT_EMPTY_PATH)
	if err != nil {
		h, _, err = unix.NameToHandleAt(int(f.Fd()), "", unix.AT_EMPTY_PATH|atHandleFid)
	}
	if err != nil {
		return "", fmt.Errorf("file handle: %w", err)
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(st.Fsid.Val[0]))
	b = binary.LittleEndian.AppendUint32(b, uint32(st.Fsid.Val[1]))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Size()))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Type()))
	return string(append(b, h.Bytes()...)), nil
}

// change is one event of the group.
type change struct {
	mask   uint64
	pid    uint32
	pidfd  int // -1 if the process had gone when the event was read
	handle string
}

// run reads until the group is closed.
func (c *changes) run(tell func(change, *Watch)) {
	buf := make([]byte, 16<<10)
	for {
		n, err := c.group.Read(buf)
		if err != nil {
			return
		}
		for b := buf[:n]; ; {
			e, rest, ok := parseChange(b)
			if !ok {
				break
			}
			c.mu.Lock()
			w := c.watches[e.handle]
			c.mu.Unlock()
			if w != nil {
				tell(e, w)
			}
			if e.pidfd >= 0 {
				unix.Close(e.pidfd)
			}
			b = rest
		}
	}
}

const (
	metadataSize  = 24
	infoFID       = 1
	infoPIDFD     = 4
	infoHeader    = 4
	handleHeading = 8 + 8 // fsid, and the handle's size and type
)

// parseChange reads struct fanotify_event_metadata and the records behind it.
func parseChange(b []byte) (change, []byte, bool) {
	if len(b) < metadataSize {
		return change{}, nil, false
	}
	size := int(binary.LittleEndian.Uint32(b))
	head := int(binary.LittleEndian.Uint16(b[6:]))
	if b[4] != unix.FANOTIFY_METADATA_VERSION || size > len(b) || head < metadataSize || head > size {
		return change{}, nil, false
	}
	e := change{mask: binary.LittleEndian.Uint64(b[8:]), pid: binary.LittleEndian.Uint32(b[20:]), pidfd: -1}
	for info := b[head:size]; len(info) >= infoHeader; {
		n := int(binary.LittleEndian.Uint16(info[2:]))
		if n < infoHeader || n > len(info) {
			break
		}
		switch body := info[infoHeader:n]; {
		case info[0] == infoPIDFD && len(body) >= 4:
			e.pidfd = int(int32(binary.LittleEndian.Uint32(body)))
		case info[0] == infoFID && len(body) >= handleHeading:
			length := int(binary.LittleEndian.Uint32(body[8:]))
			e.handle = string(body[:min(handleHeading+length, len(body))])
		}
		info = info[n:]
	}
	return e, b[size:], true
}

// change tells of a changed attribute or name.
func (s *Sensor) change(e change, w *Watch) {
	now, err := bootTime()
	if err != nil {
		return
	}
	t, err := s.eye.proc.task(e.pid, now)
	if err == nil && t.identity() == s.self {
		return
	}
	j := look{watch: w, kind: w.changeKind(e.mask), time: now, task: t, gone: err != nil || e.pidfd < 0}
	if j.gone {
		j.task = task{thread: e.pid}
	}
	// While the process exists, its id is no other's.
	j.alive = func() bool { return e.pidfd >= 0 && unix.PidfdSendSignal(e.pidfd, 0, nil, 0) == nil }
	s.touch(j)
}

// changeKind tells kinds apart that the kernel doesn't: a link more or less is
// an attribute, too.
func (w *Watch) changeKind(mask uint64) bpf.Kind {
	if mask&unix.FAN_MOVE_SELF != 0 {
		return bpf.KindRename
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(w.pin.Fd()), &st); err != nil {
		return bpf.KindSetattr
	}
	before, now := w.links, uint32(st.Nlink)
	w.links = now
	switch {
	case now > before:
		return bpf.KindLink
	case now < before:
		return bpf.KindUnlink
	}
	return bpf.KindSetattr
}
