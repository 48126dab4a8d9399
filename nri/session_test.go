package nri

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// halfway stands between the plugin and a runtime that dies when it has
// answered the registration and not yet sent Configure: it passes on what comes
// on the runtime service's channel of the multiplexed connection (2, pkg/net/
// multiplex of NRI) and keeps back the plugin service's (1).
func halfway(t *testing.T, plugin net.Conn, socket string, hangUp bool) {
	runtime, err := net.Dial("unix", socket)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _, _ = runtime.Close(), plugin.Close() })
	go func() { _, _ = io.Copy(runtime, plugin) }()
	for {
		var header [8]byte
		if _, err := io.ReadFull(runtime, header[:]); err != nil {
			return
		}
		payload := make([]byte, binary.BigEndian.Uint32(header[4:]))
		if _, err := io.ReadFull(runtime, payload); err != nil {
			return
		}
		if binary.BigEndian.Uint32(header[:4]) != 2 {
			continue
		}
		_, _ = plugin.Write(append(header[:], payload...))
		if hangUp {
			_ = plugin.Close()
			return
		}
	}
}

// The stub waits for Configure without end; see start.
func TestRuntimeDiesDuringRegistration(t *testing.T) {
	for name, hangUp := range map[string]bool{"hangs up": true, "hangs": false} {
		t.Run(name, func(t *testing.T) {
			n, front := newNode(t), newNode(t)
			n.start()
			l, err := net.Listen("unix", front.socket)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				if conn, err := l.Accept(); err == nil {
					halfway(t, conn, n.socket, hangUp)
				}
			}()
			plugin, err := New(newPlanter(), Options{Socket: front.socket})
			if err != nil {
				t.Fatal(err)
			}
			plugin.registration, plugin.grace = 500*time.Millisecond, 50*time.Millisecond
			ended := make(chan error, 1)
			go func() { ended <- plugin.Run(t.Context()) }()
			if err := receive(t, ended, "end of Run"); err == nil || !strings.Contains(err.Error(), "registration") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestStoppedDuringRegistration(t *testing.T) {
	n := newNode(t)
	l, err := net.Listen("unix", n.socket) // accepts into its backlog, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	plugin, err := New(newPlanter(), Options{Socket: n.socket})
	if err != nil {
		t.Fatal(err)
	}
	plugin.grace = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- plugin.Run(ctx) }()
	if err := receive(t, ended, "end of Run"); err != nil {
		t.Errorf("got %v", err)
	}
	if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Error("ended before it was told to")
	}
}
