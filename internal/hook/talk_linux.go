package hook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/internal/hook/wire"
)

// The hook ends after a second. A peer has half of one for its first words, so
// that silent ones don't fill the slots for long.
const (
	helloTimeout = 500 * time.Millisecond
	talkTimeout  = 1500 * time.Millisecond
)

// talk holds one conversation.
func (s *Server) talk(ctx context.Context, conn *net.UnixConn) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := s.examine(conn); err != nil {
		s.refuse(err)
		return
	}
	began := time.Now()
	_ = conn.SetDeadline(began.Add(s.helloTimeout)) // without it the hook's own end is the limit
	t := talk{conn: conn, in: make([]byte, wire.MaxPacket+1)}
	hello, err := t.hello()
	if err != nil {
		s.refuse(&refusal{ReasonProtocol, err})
		return
	}
	e, refused := s.redeem(hello)
	if refused != nil {
		s.refuse(refused)
		return
	}
	_ = conn.SetDeadline(began.Add(s.talkTimeout))
	report := e.report()
	if hello.Problem != "" {
		report.Problem = "the hook says: " + hello.Problem
	} else if err := t.files(e.files, report.Results); err != nil {
		report.Problem = err.Error()
	}
	s.mu.Lock()
	s.status.Answered++
	s.mu.Unlock()
	s.deliver(report)
	// The hook ends with this, and not before: it is what the runtime waits for.
	_ = t.send(wire.AppendEnd(nil))
}

// examine looks at who has connected.
func (s *Server) examine(conn *net.UnixConn) *refusal {
	peer, err := peerOf(conn)
	if err != nil {
		return &refusal{ReasonUser, err}
	}
	defer peer.close()
	if int(peer.uid) != os.Geteuid() {
		return &refusal{ReasonUser, fmt.Errorf("uid %d", peer.uid)}
	}
	if peer.pid == 0 {
		return &refusal{ReasonUser, errors.New("a process of another PID namespace: does the agent run in the host's?")}
	}
	exe, err := os.Stat(fmt.Sprintf("%s/%d/exe", s.proc, peer.pid))
	if err == nil && !os.SameFile(exe, s.program.info) {
		err = errors.New("another program than the hook")
	}
	if err == nil {
		err = peer.alive() // so it was its program, not that of a successor in the number
	}
	if err != nil {
		return &refusal{ReasonProgram, fmt.Errorf("process %d: %w", peer.pid, err)}
	}
	return nil
}

// peer is the process that has connected.
type peer struct {
	uid   uint32
	pid   int32
	pidfd int
}

func peerOf(conn *net.UnixConn) (peer, error) {
	p := peer{pidfd: -1}
	raw, err := conn.SyscallConn()
	if err != nil {
		return p, fmt.Errorf("peer: %w", err)
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, inner = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); inner != nil {
			return
		}
		p.uid, p.pid = cred.Uid, cred.Pid
		// SO_PEERPIDFD is in Linux 6.5 and later. Opened by its number, it can
		// be another process of that number, whose program is looked at then.
		if p.pidfd, inner = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PEERPIDFD); inner != nil {
			p.pidfd, inner = -1, nil
		}
	})
	if err := errors.Join(err, inner); err != nil {
		return p, fmt.Errorf("peer credentials: %w", err)
	}
	if p.pidfd < 0 && p.pid > 0 {
		if p.pidfd, err = unix.PidfdOpen(int(p.pid), 0); err != nil {
			p.pidfd = -1
			return p, fmt.Errorf("peer process %d: %w", p.pid, err)
		}
	}
	return p, nil
}

func (p *peer) alive() error { return unix.PidfdSendSignal(p.pidfd, 0, nil, 0) }

func (p *peer) close() {
	if p.pidfd >= 0 {
		_ = unix.Close(p.pidfd)
	}
}

// talk is a conversation with a peer that was examined.
type talk struct {
	conn *net.UnixConn
	in   []byte
	out  []byte
}

func (t *talk) hello() (wire.Hello, error) {
	packet, file, err := t.receive()
	if err != nil {
		return wire.Hello{}, err
	}
	if file != nil {
		_ = file.Close()
		return wire.Hello{}, errors.New("a descriptor came with the first packet")
	}
	return wire.DecodeHello(packet)
}

// files sends each file and takes its result down.
func (t *talk) files(files []File, results []Result) error {
	for i, f := range files {
		if err := t.offer(uint16(i), f); err != nil {
			return fmt.Errorf("send token %s to the hook: %w", f.Token, err)
		}
		if err := t.result(uint16(i), f, &results[i]); err != nil {
			return fmt.Errorf("the hook's answer on token %s: %w", f.Token, err)
		}
	}
	return nil
}

func (t *talk) offer(index uint16, f File) error {
	head := wire.File{
		Index: index, Mode: uint32(f.Mode.Perm()), UID: f.UID, GID: f.GID, Path: f.Path,
		Seconds: f.ModTime.Unix(), Nanoseconds: uint32(f.ModTime.Nanosecond()), Size: uint32(len(f.Content)),
	}
	if err := t.send(head.AppendTo(t.out[:0])); err != nil {
		return err
	}
	for rest := f.Content; len(rest) > 0; {
		n := min(len(rest), wire.MaxChunk)
		if err := t.send(wire.AppendChunk(t.out[:0], rest[:n])); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (t *talk) result(index uint16, f File, r *Result) error {
	packet, file, err := t.receive()
	if err != nil {
		return err
	}
	answer, err := wire.DecodeResult(packet)
	if err == nil && answer.Index != index {
		err = wire.ErrMalformed
	}
	if err == nil && (answer.Outcome == wire.Placed) != (file != nil) {
		err = errors.New("placed without a descriptor, or the other way round")
	}
	if err == nil && file != nil {
		err = verify(file, f)
	}
	if err != nil {
		if file != nil {
			_ = file.Close()
		}
		return err
	}
	r.Outcome, r.Problem, r.File = outcome(answer.Outcome), answer.Problem, file
	return nil
}

func outcome(o wire.Outcome) Outcome {
	switch o {
	case wire.Placed:
		return Placed
	case wire.Exists:
		return Exists
	case wire.OtherMount:
		return OtherMount
	case wire.ReadOnly:
		return ReadOnly
	case wire.Refused:
		return Refused
	}
	return Failed
}

// verify looks at the file that a descriptor is of.
func verify(file *os.File, f File) error {
	st, err := file.Stat()
	if err != nil {
		return err
	}
	flags, err := unix.FcntlInt(file.Fd(), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || !st.Mode().IsRegular() || st.Size() != int64(len(f.Content)) || sys.Nlink != 1 ||
		flags&(unix.O_ACCMODE|unix.O_PATH) != unix.O_RDONLY {
		return fmt.Errorf("the descriptor is not of the file: %v, %d bytes", st.Mode(), st.Size())
	}
	return nil
}

func (t *talk) send(packet []byte) error {
	t.out = packet
	_, err := t.conn.Write(packet)
	return err
}

// receive returns the next packet, valid until the one after it, and the file
// whose descriptor came along, if one did.
func (t *talk) receive() ([]byte, *os.File, error) {
	// Room for more than the one that may come: none that comes is lost sight of.
	oob := make([]byte, unix.CmsgSpace(4*4))
	n, oobn, flags, _, err := t.conn.ReadMsgUnix(t.in, oob)
	if err != nil {
		return nil, nil, err
	}
	files, err := descriptors(oob[:oobn])
	if err == nil && (flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 || n > wire.MaxPacket || len(files) > 1) {
		err = wire.ErrMalformed
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close()
		}
		return nil, nil, err
	}
	if len(files) == 1 {
		return t.in[:n], files[0], nil
	}
	return t.in[:n], nil, nil
}

func descriptors(oob []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range messages {
		// Anything else that comes along is the kernel's and nothing to close.
		if messages[i].Header.Level != unix.SOL_SOCKET || messages[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "token"))
		}
	}
	return files, nil
}
