package live

import (
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// inside runs f on a thread in the process's mount namespace.
func (p Process) inside(f func(*view) error) error {
	v, err := p.open()
	if err != nil {
		return err
	}
	defer v.close()
	done := make(chan error, 1)
	go OnSpareThread(func() {
		if err := v.enter(); err != nil {
			done <- err
			return
		}
		done <- f(v)
	})
	return <-done
}

// enter leaves the thread in the container's mount namespace.
func (v *view) enter() error {
	// setns(2) refuses a thread that shares its root and working directory, which
	// the file mode mask goes along with.
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	if err := unix.Setns(fd(v.ns), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("enter mount namespace: %w", err)
	}
	unix.Umask(0)
	return nil
}

// OnSpareThread runs f on a thread that ends with it: nothing else may run where f
// has gone. The main thread can't end, and /proc/self is its view of the world.
func OnSpareThread(f func()) {
	runtime.LockOSThread()
	if unix.Gettid() != unix.Getpid() {
		f() // never unlocked: the runtime ends the thread with the goroutine
		return
	}
	done := make(chan struct{})
	go func() { // on another, as this one is taken
		defer close(done)
		OnSpareThread(f)
	}()
	<-done
	runtime.UnlockOSThread()
}

// elsewhere runs f on a thread that is where the caller is: ProcRoot is a path
// there, and may be anything in the container.
func elsewhere(f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }() // this thread is taken, see OnSpareThread
	return <-done
}

// as makes f's files belong to an owner from the start. To change the owner of a
// directory afterwards would be to change that of whatever the container has put in
// its place. The ids are the thread's own (setfsuid(2)), and with another user than
// root go the capabilities over files: a directory that its owner may not write to
// stays as it is.
func as(uid, gid uint32, f func() error) error {
	defer func() {
		_ = unix.Setfsuid(0)
		_ = unix.Setfsgid(0)
	}()
	_ = unix.Setfsgid(int(gid))
	_ = unix.Setfsuid(int(uid))
	// Neither call fails, and an id that nobody can have changes nothing.
	if now, _ := unix.SetfsgidRetGid(-1); uint32(now) != gid {
		return fmt.Errorf("group %d of new files: %w", gid, unix.EPERM)
	}
	if now, _ := unix.SetfsuidRetUid(-1); uint32(now) != uid {
		return fmt.Errorf("user %d of new files: %w", uid, unix.EPERM)
	}
	return f()
}

// unsupported makes a missing system call say since when it exists.
func unsupported(err error, since string) error {
	if errors.Is(err, unix.ENOSYS) {
		return fmt.Errorf("%w: %s", errors.ErrUnsupported, since)
	}
	return err
}
