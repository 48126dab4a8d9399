package main

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// waitForReader calls left when the other end of a pipe or socket is closed,
// and returns then or when the context ends. Files and terminals have no other
// end.
func waitForReader(ctx context.Context, fd uintptr, left func()) {
	// Closing the write end wakes the poll.
	wake, end, err := os.Pipe()
	if err != nil {
		return // the next write will find out
	}
	defer wake.Close()
	defer end.Close()
	stop := context.AfterFunc(ctx, func() { end.Close() })
	defer stop()
	// No events asked for: POLLERR and POLLHUP are always told (poll(2)).
	fds := []unix.PollFd{{Fd: int32(fd)}, {Fd: int32(wake.Fd())}}
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && fds[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0 {
			left()
		}
		return
	}
}
