//go:build linux

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// hammer opens, reads and closes the tokens of a directory in turn, as fast as
// it can, until standard input ends, and prints how many opens that were.
func hammer(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("arguments %q: want a directory, a number of tokens and the first", args)
	}
	tokens, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	next, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	paths := make([]string, tokens)
	for i := range paths {
		paths[i] = tokenPath(args[0], i)
	}
	var stop atomic.Bool
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop.Store(true)
	}()
	var opens uint64
	var buf [1]byte
	for ; !stop.Load(); next++ {
		fd, err := unix.Open(paths[next%tokens], unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		opens++
		if _, err := unix.Read(fd, buf[:]); err != nil {
			return err
		}
		if err := unix.Close(fd); err != nil {
			return err
		}
	}
	_, err = fmt.Println(opens)
	return err
}

// walk does to a tree what a backup does, and prints how many files there were.
func walk(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("arguments %q: want a directory", args)
	}
	files := 0
	err := filepath.WalkDir(args[0], func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		if _, err := os.Lstat(path); err != nil {
			return err
		}
		// tmpfs has no user attributes on every kernel: an error is an answer.
		_, _ = unix.Llistxattr(path, make([]byte, 256))
		_, err = os.ReadFile(path)
		return err
	})
	if err == nil {
		_, err = fmt.Println(files)
	}
	return err
}
