//go:build linux && (native || vmtest)

package fanotify

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// toucherMain touches the token in one way; nothing else in it does.
func toucherMain(what, path string) int {
	touch, ok := map[string]func(string) error{
		"open": func(p string) error { return openAs(p, unix.O_RDONLY) },
		// O_RDWR without O_CREAT or O_TRUNC changes nothing.
		"open for writing": func(p string) error { return openAs(p, unix.O_RDWR) },
		"openat2":          openat2,
		"read":             func(p string) error { return openAndRead(p, 3) },
		"write":            openAndWrite,
		"exec":             func(p string) error { return exec.Command(p).Run() },
		"inherited read":   func(string) error { return readFD(3) },
		"inherited write":  func(string) error { return writeFD(3) },
		"chmod":            func(p string) error { return os.Chmod(p, 0o700) },
		"link":             func(p string) error { return os.Link(p, p+"2") },
		"unlink":           func(p string) error { return os.Remove(p + "2") },
		"rename":           func(p string) error { return os.Rename(p, p+".moved") },
		"thousand":         func(p string) error { return times(1000, p) },
		"two at a time":    twoAtATime,
		"exit open":        func(p string) error { _, err := unix.Open(p, unix.O_RDONLY, 0); return err },
		"time":             timed,
		"be a sensor":      beSensor,
	}[what]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such touch:", what)
		return 2
	}
	if err := touch(path); err != nil {
		fmt.Fprintln(os.Stderr, what+":", err)
		return 1
	}
	return 0
}

func openAs(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func openat2(path string) error {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_WRONLY})
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func openAndRead(path string, n int) error {
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	for range n {
		if _, err := unix.Read(fd, make([]byte, 1)); err != nil {
			return err
		}
	}
	return unix.Close(fd)
}

func openAndWrite(path string) error {
	fd, err := unix.Open(path, unix.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if err := writeFD(fd); err != nil {
		return err
	}
	return unix.Close(fd)
}

func readFD(fd int) error {
	_, err := unix.Read(fd, make([]byte, 1))
	return err
}

func writeFD(fd int) error {
	_, err := unix.Write(fd, []byte("#"))
	return err
}

func times(n int, path string) error {
	for range n {
		if err := openAs(path, unix.O_RDONLY); err != nil {
			return err
		}
	}
	return nil
}

func twoAtATime(path string) error {
	first, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := openAs(path, unix.O_RDONLY); err != nil {
		return err
	}
	return unix.Close(first)
}

// timed prints how long the slowest of BEESTING_COUNT opens took.
func timed(path string) error {
	n, err := strconv.Atoi(os.Getenv("BEESTING_COUNT"))
	if err != nil {
		return err
	}
	var slowest time.Duration
	for range n {
		start := time.Now()
		if err := openAs(path, unix.O_RDONLY); err != nil {
			return err
		}
		slowest = max(slowest, time.Since(start))
	}
	fmt.Println(slowest.Nanoseconds())
	return nil
}
