//go:build linux && (amd64 || arm64)

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// fanotify marks one file beside the touched ones for opens.
func (d *driver) fanotify() error {
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_NOTIF|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK, unix.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return fmt.Errorf("fanotify: %w", err)
	}
	path := d.siblingPath()
	err = unix.FanotifyMark(fd, unix.FAN_MARK_ADD, unix.FAN_OPEN, unix.AT_FDCWD, path)
	if err == nil {
		err = d.touch(path)
	}
	if err == nil {
		// An event: 24 bytes, with a descriptor that closes with this process.
		var event [24]byte
		_, err = unix.Read(fd, event[:])
	}
	if err == nil {
		err = d.measure(figure.Fanotify, 1)
	}
	return ended(figure.Fanotify, err, unix.Close(fd))
}

// From include/uapi/linux/audit.h.
const (
	auditSet       = 1001
	auditAddRule   = 1011
	auditEnabled   = 1 // bit of audit_status.mask
	auditExit      = 4 // AUDIT_FILTER_EXIT
	auditAlways    = 2
	auditWatch     = 105
	auditPerm      = 106
	auditPermAll   = 15 // rwxa, what auditctl -w takes by default
	auditEqual     = 0x40000000
	auditBitmask   = 64
	auditMaxFields = 64
)

// auditStatus is struct audit_status as far as every kernel since 3.12 reads it.
type auditStatus struct {
	Mask, Enabled, Failure, PID, RateLimit, BacklogLimit, Lost, Backlog, Version, BacklogWait uint32
}

// auditRule is struct audit_rule_data; the path follows it.
type auditRule struct {
	Flags, Action, FieldCount uint32
	Mask                      [auditBitmask]uint32
	Fields, Values, Ops       [auditMaxFields]uint32
	BufLen                    uint32
}

// audit does what `auditctl -e 1; auditctl -w PATH` does. Nobody takes the
// records, so the kernel logs them.
func (d *driver) audit() error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	path := d.siblingPath()
	rule := auditRule{Flags: auditExit, Action: auditAlways, FieldCount: 2, BufLen: uint32(len(path))}
	for i := range rule.Mask {
		rule.Mask[i] = ^uint32(0)
	}
	rule.Fields[0], rule.Values[0], rule.Ops[0] = auditWatch, uint32(len(path)), auditEqual
	rule.Fields[1], rule.Values[1], rule.Ops[1] = auditPerm, auditPermAll, auditEqual

	var body bytes.Buffer
	err = binary.Write(&body, binary.NativeEndian, auditStatus{Mask: auditEnabled, Enabled: 1})
	if err == nil {
		err = netlink(fd, auditSet, body.Bytes())
	}
	body.Reset()
	if err == nil {
		err = binary.Write(&body, binary.NativeEndian, rule)
	}
	if err == nil {
		err = netlink(fd, auditAddRule, append(body.Bytes(), path...))
	}
	if err == nil {
		err = d.touch(path)
	}
	if err == nil {
		err = logged(path)
	}
	if err == nil {
		err = d.measure(figure.Audit, 1)
	}
	return ended(figure.Audit, err, unix.Close(fd))
}

// netlink sends one request and waits for its acknowledgement.
func netlink(fd int, kind uint16, body []byte) error {
	head := unix.NlMsghdr{
		Len: uint32(unix.NLMSG_HDRLEN + len(body)), Type: kind, Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK, Seq: uint32(kind),
	}
	var msg bytes.Buffer
	if err := binary.Write(&msg, binary.NativeEndian, head); err != nil {
		return err
	}
	msg.Write(body)
	if err := unix.Sendto(fd, msg.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return fmt.Errorf("request %d: %w", kind, err)
	}
	answer := make([]byte, 8192)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return fmt.Errorf("answer to request %d: %w", kind, err)
	}
	const errnoEnd = unix.NLMSG_HDRLEN + 4
	if n < errnoEnd || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("answer to request %d: not an acknowledgement", kind)
	}
	if errno := int32(binary.NativeEndian.Uint32(answer[unix.NLMSG_HDRLEN:])); errno != 0 {
		return fmt.Errorf("request %d: %w", kind, unix.Errno(-errno))
	}
	return nil
}

// logged tells whether the kernel log has an audit record about a file.
func logged(path string) error {
	log := make([]byte, 1<<18)
	n, err := unix.Klogctl(unix.SYSLOG_ACTION_READ_ALL, log)
	if err != nil {
		return fmt.Errorf("kernel log: %w", err)
	}
	if !bytes.Contains(log[:n], []byte("name=\""+path+"\"")) {
		return errors.New("the rule is set, but a touch is not logged")
	}
	return nil
}
