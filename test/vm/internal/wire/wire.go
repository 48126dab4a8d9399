// Package wire is what the host side of the VM harness and the guest's init say
// to each other: the work order, a JSON file in the initramfs, and the frames
// that come back over a serial port of their own.
//
// The frames have a port of their own because the kernel writes to its console
// whenever it likes, in the middle of a line too.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// SpecPath is where the guest's init finds its work order.
const SpecPath = "/etc/vm.json"

// FilesDir holds injected files in the initramfs when the root is a disk: init
// copies them over before it switches to that root.
const FilesDir = "/.files"

// Spec is the work order of one boot.
type Spec struct {
	// Jobs run one after the other. Without any the guest runs a shell on the
	// console.
	Jobs []Job `json:"jobs,omitempty"`
	// Modules are loaded, with what they depend on, before anything is mounted.
	Modules []string `json:"modules,omitempty"`
	// Net brings eth0 up.
	Net bool `json:"net,omitempty"`
	// RootDisk is the block device to switch to ("vda"), or empty to stay in
	// the initramfs.
	RootDisk string `json:"rootDisk,omitempty"`
	// Mounts are further disks, mounted in this order.
	Mounts []Mount `json:"mounts,omitempty"`
	// DataPort is the device of the frames.
	DataPort string `json:"dataPort"`
	// ConsolePort is the device of the interactive shell.
	ConsolePort string `json:"consolePort"`
	// Rows and Cols are the size of the terminal the shell is shown in.
	Rows int `json:"rows,omitempty"`
	Cols int `json:"cols,omitempty"`
}

// Mount is one disk to mount.
type Mount struct {
	Device string `json:"device"`
	Dir    string `json:"dir"`
	Type   string `json:"type"`
}

// Job is one command.
type Job struct {
	Args []string `json:"args"`
	Env  []string `json:"env,omitempty"`
	Dir  string   `json:"dir,omitempty"`
}

// Ready is the first frame's payload.
type Ready struct {
	// Release is uname -r.
	Release string `json:"release"`
	// Uptime is in seconds of guest time.
	Uptime float64 `json:"uptime"`
}

// Exit is the last word about one job.
type Exit struct {
	Job int `json:"job"`
	// Code is the exit code; 128 + the signal's number when one ended the job.
	Code int `json:"code"`
	// Error is set when the job could not be started.
	Error string `json:"error,omitempty"`
}

// Type says what a frame carries.
type Type byte

// The frame types.
const (
	// TypeReady: init is up and everything it was asked for is mounted. JSON.
	TypeReady Type = 'R'
	// TypeStdout and TypeStderr: bytes of the running job.
	TypeStdout Type = 'O'
	TypeStderr Type = 'E'
	// TypeExit: the running job has ended. JSON.
	TypeExit Type = 'X'
	// TypeFatal: init could not do its work. Text.
	TypeFatal Type = 'F'
	// TypeDone: every job has ended. Empty.
	TypeDone Type = 'D'
)

// MaxPayload is the most bytes a frame can carry.
const MaxPayload = 32 << 10

// magic starts every frame: noise on the line is then an error and no length.
const magic = 0xB5

const headerSize = 6

// ErrDesync is returned for bytes that are no frame.
var ErrDesync = errors.New("no frame at this place of the stream")

// Writer writes frames. It is safe for concurrent use.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a Writer on w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Frame writes p as one frame, or as several when it is longer than MaxPayload.
func (w *Writer) Frame(t Type, p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		part := p[:min(len(p), MaxPayload)]
		p = p[len(part):]
		buf := make([]byte, headerSize, headerSize+len(part))
		buf[0], buf[1] = magic, byte(t)
		binary.BigEndian.PutUint32(buf[2:], uint32(len(part)))
		if _, err := w.w.Write(append(buf, part...)); err != nil {
			return fmt.Errorf("frame %c: %w", t, err)
		}
		if len(p) == 0 {
			return nil
		}
	}
}

// Stream returns an io.Writer whose writes become frames of type t.
func (w *Writer) Stream(t Type) io.Writer { return stream{w, t} }

type stream struct {
	w *Writer
	t Type
}

func (s stream) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := s.w.Frame(s.t, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Read returns the next frame. At a clean end it returns io.EOF, in the middle
// of a frame io.ErrUnexpectedEOF, and ErrDesync for bytes that are no frame.
func Read(r io.Reader) (Type, []byte, error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[2:])
	if head[0] != magic || size > MaxPayload {
		return 0, nil, fmt.Errorf("%w: % x", ErrDesync, head)
	}
	p := make([]byte, size)
	if _, err := io.ReadFull(r, p); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	return Type(head[1]), p, nil
}
