//go:build linux

package main

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/place"
	"github.com/beesting-otel/beesting/internal/hook/wire"
)

// dial connects to the agent, if it can only be the agent: the socket and its
// directory belong to the user that this process runs as, who is root, and the
// directory is closed to everybody else; and so does the process that listens.
// In a user namespace of the container's all of them belong to nobody, and are
// refused: see internal/hook.
func dial(path string) (int, error) {
	slash := strings.LastIndexByte(path, '/')
	if slash <= 0 {
		return -1, &trouble{"socket path is not absolute", nil}
	}
	if err := ours(path[:slash], unix.S_IFDIR|0o700); err != nil {
		return -1, err
	}
	if err := ours(path, unix.S_IFSOCK|0o600); err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, &trouble{"socket", err}
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		_ = unix.Close(fd)
		return -1, &trouble{"connect to the agent", err}
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err == nil && int(peer.Uid) != unix.Geteuid() {
		err = unix.EPERM
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, &trouble{"credentials of the agent", err}
	}
	return fd, nil
}

func ours(path string, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return &trouble{"look at the agent's socket", err}
	}
	if int(st.Uid) != unix.Geteuid() || st.Mode&(unix.S_IFMT|0o777) != mode {
		return &trouble{"the agent's socket or its directory is open to others", nil}
	}
	return nil
}

// conversation is with the agent, as package wire describes it.
type conversation struct {
	socket int
	root   int // -1: no file can be made
	out    []byte
	in     [wire.MaxPacket + 1]byte // one more shows a packet that is too long
}

var errClosed = errors.New("the agent closed the connection")

func (c *conversation) hold(t task, id, problem string) error {
	hello := wire.Hello{Ticket: t.ticket, Secret: t.secret, Container: id, Problem: problem}
	if err := c.send(hello.AppendTo(c.out[:0]), -1); err != nil {
		return err
	}
	for {
		packet, err := c.receive()
		if err != nil {
			return err
		}
		f, err := wire.DecodeNext(packet)
		switch {
		case err != nil:
			return &trouble{"message of the agent", err}
		case f == nil:
			return nil
		case c.root < 0:
			return &trouble{"the agent sent a file that nobody asked for", nil}
		}
		if err := c.file(*f); err != nil {
			return err
		}
	}
}

// file makes one file. An error is one of the conversation; those of the file
// are told in it.
func (c *conversation) file(f wire.File) error {
	p, problem := place.Create(c.root, f)
	for left := f.Size; left > 0; {
		packet, err := c.receive()
		var chunk []byte
		if err == nil {
			chunk, err = wire.DecodeChunk(packet)
		}
		if err == nil && uint64(len(chunk)) > uint64(left) {
			err = wire.ErrMalformed
		}
		if err != nil {
			if problem == nil {
				p.Abandon()
			}
			return &trouble{"content from the agent", err}
		}
		left -= uint32(len(chunk))
		if problem == nil {
			if problem = p.Write(chunk); problem != nil {
				p.Abandon()
			}
		}
	}
	fd := -1
	if problem == nil {
		fd, problem = p.Commit()
	}
	result := wire.Result{Index: f.Index, Outcome: wire.Placed}
	if problem != nil {
		result.Outcome, result.Problem = wire.Failed, problem.Error()
		var known *place.Error
		if errors.As(problem, &known) {
			result.Outcome = known.Outcome
		}
	} else {
		defer unix.Close(fd)
	}
	return c.send(result.AppendTo(c.out[:0]), fd)
}

// send sends a packet, with a descriptor unless that is -1.
func (c *conversation) send(packet []byte, fd int) error {
	c.out = packet
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	for {
		// A broken connection is an error here, not SIGPIPE.
		err := unix.Sendmsg(c.socket, packet, rights, nil, unix.MSG_NOSIGNAL)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return &trouble{"send to the agent", err}
		default:
			return nil
		}
	}
}

// receive returns the next packet, valid until the one after it.
func (c *conversation) receive() ([]byte, error) {
	for {
		n, err := unix.Read(c.socket, c.in[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, &trouble{"receive from the agent", err}
		case n == 0:
			return nil, errClosed
		default:
			return c.in[:n], nil
		}
	}
}
