//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// reader is the read end of a pipe that is a standard output.
func stdoutPipe(t *testing.T) (stdout, reader *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return w, r
}

func TestReaderLeavesWhileNothingIsWritten(t *testing.T) {
	stdout, reader := stdoutPipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	untilReaderLeaves(ctx, &wg, stdout, cancel)
	select {
	case <-ctx.Done():
		t.Fatal("ended while the reader was there")
	case <-time.After(50 * time.Millisecond):
	}
	reader.Close()
	select {
	case <-ctx.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("not ended though the reader has left")
	}
	wg.Wait()
}

func TestWaitForReaderEndsWithTheContext(t *testing.T) {
	stdout, _ := stdoutPipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	untilReaderLeaves(ctx, &wg, stdout, func() { t.Error("the reader is there") })
	cancel()
	wg.Wait()
}

func TestBrokenPipe(t *testing.T) {
	stdout, reader := stdoutPipe(t)
	reader.Close()
	left := 0
	w := watchedPipe{Writer: stdout, broken: func() { left++ }}
	if _, err := w.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) || left != 1 {
		t.Errorf("Write = %v, told %d times", err, left)
	}
}

func TestFileHasNoReader(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	untilReaderLeaves(ctx, &wg, f, func() { t.Error("a file has no reader that leaves") })
	cancel()
	wg.Wait()
}
