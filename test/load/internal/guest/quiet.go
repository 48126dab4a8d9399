//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// loops is how many programs, and containers, come and go.
const loops = 1000

// lifecycles starts programs that have nothing to do with any token: plain ones,
// and others in new namespaces and a cgroup of their own, as a runtime does.
func lifecycles(s settings) error {
	const dir, tokens = "/tmp/lifecycles", 100
	return quietly(s, dir, tokens, nil, func() error {
		for i := range loops {
			if err := exec.Command("/bin/busybox", "true").Run(); err != nil {
				return fmt.Errorf("program %d: %w", i, err)
			}
			if err := lifecycle(i); err != nil {
				return fmt.Errorf("container %d: %w", i, err)
			}
		}
		fmt.Printf("%d programs, %d lifecycles in namespaces and a cgroup of their own\n", loops, loops)
		return nil
	}, func(b books, t *told) error {
		if n := sum(b.Seen); n != 0 || t.lines != 0 {
			return fmt.Errorf("%d touches counted, %d accesses told, want none", n, t.lines)
		}
		return nil
	})
}

// lifecycle makes a cgroup, runs a program there in namespaces of its own, and
// takes the cgroup away.
func lifecycle(i int) error {
	group := fmt.Sprintf("/sys/fs/cgroup/load-%d", i)
	if err := os.Mkdir(group, 0o755); err != nil {
		return err
	}
	f, err := os.Open(group)
	if err != nil {
		return err
	}
	defer f.Close()
	cmd := exec.Command("/bin/busybox", "sh", "-c", "mount -t tmpfs none /mnt && ls / >/dev/null")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWCGROUP,
		UseCgroupFD: true, CgroupFD: int(f.Fd()),
	}
	if err := cmd.Run(); err != nil {
		return err
	}
	for range 100 { // it is empty when the last task is reaped, a moment later
		if err = os.Remove(group); err == nil {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return err
}

// treeWalk reads a tree with tokens in it: a program that is exempted makes no
// access, and the same program under another inode does.
func treeWalk(s settings) error {
	const tokens, walker, stranger = 100, "/tmp/walker", "/tmp/stranger"
	for _, path := range []string{walker, stranger} {
		if err := copyFile("/proc/self/exe", path); err != nil {
			return err
		}
	}
	exempt := []string{"-exempt", walker}
	err := quietly(s, "/tmp/walk/1", tokens, exempt, func() error { return walkWith(walker, "/tmp/walk/1", tokens) },
		func(b books, t *told) error {
			fmt.Printf("exempted: %d touches counted as exempt, %d others, %d accesses\n", b.Exempt, sum(b.Seen), t.lines)
			if sum(b.Seen) != 0 || t.lines != 0 || b.Exempt < tokens {
				return fmt.Errorf("exempted: seen %v, exempt %d, %d accesses: want all exempt", b.Seen, b.Exempt, t.lines)
			}
			return nil
		})
	if err != nil {
		return err
	}
	return quietly(s, "/tmp/walk/2", tokens, exempt, func() error { return walkWith(stranger, "/tmp/walk/2", tokens) },
		func(b books, t *told) error {
			fmt.Printf("a copy of it: %v touches, %d accesses by class %v\n", b.Seen, t.lines, t.classes)
			if b.Exempt != 0 || b.Seen["open"] != tokens || t.kinds["open"] != tokens {
				return fmt.Errorf("not exempted: seen %v, exempt %d, told %v: want %d opens", b.Seen, b.Exempt, t.kinds, tokens)
			}
			return nil
		})
}

func walkWith(program, dir string, files int) error {
	cmd := exec.Command(program, "walk", dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return err
	}
	if string(out) != strconv.Itoa(files)+"\n" {
		return fmt.Errorf("%s walked %q files, want %d", program, out, files)
	}
	return nil
}

// quietly runs something under an agent with tokens, and judges the books.
func quietly(s settings, dir string, tokens int, args []string, do func() error, judge func(books, *told) error) error {
	if err := makeTokens(dir, tokens); err != nil {
		return err
	}
	t := newTold()
	a, err := startAgent(t, append([]string{"-dir", dir, "-tokens", strconv.Itoa(tokens), "-mode", s.mode}, args...)...)
	if err != nil {
		return err
	}
	err = do()
	time.Sleep(settled)
	if err := errors.Join(err, a.end(syscall.SIGTERM)); err != nil {
		return err
	}
	if t.books == nil || len(t.malformed) > 0 {
		return fmt.Errorf("no books, or lines that make no sense: %q", t.malformed)
	}
	return judge(*t.books, t)
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
