//go:build linux && (amd64 || arm64)

package fanotify

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSocketWithoutNetAdmin: a container that is not privileged has no CAP_NET_ADMIN.
func TestSocketWithoutNetAdmin(t *testing.T) {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and so do its fewer rights
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		if err := unix.Capget(&header, &data[0]); err != nil {
			done <- err
			return
		}
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &data[0]); err != nil {
			done <- err
			return
		}
		ours, theirs, err := socketPair()
		if err == nil {
			ours.Close()
			theirs.Close()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
