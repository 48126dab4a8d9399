package parts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Where things are on the disk of a guest.
const (
	// GuestBundle is the bundle's directory.
	GuestBundle = "/opt/node"
	// GuestBin has the programs given to Disk, and is on the guest's PATH.
	GuestBin = "/usr/local/bin"
)

// diskRoom is what a guest may write, beyond what is on the disk: coverage
// files, logs. Containers' files are on the guest's tmpfs.
const diskRoom = 64 << 20

// keepDisks is how many images stay in the cache. Each change of a program
// makes a new one of 150 MB or more.
const keepDisks = 3

// guestFiles is the little that programs expect of a system.
var guestFiles = map[string]string{
	"etc/passwd":      "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"etc/group":       "root:x:0:\nnogroup:x:65534:\n",
	"etc/hosts":       "127.0.0.1 localhost guest\n10.0.2.2 host\n",
	"etc/hostname":    "guest\n",
	"etc/resolv.conf": "",
	"etc/os-release":  "PRETTY_NAME=\"beesting test guest\"\nID=beesting-guest\n",
}

// Disk makes an ext4 image for a guest's root: the bundle, what runc needs, a
// busybox, and programs (file on this machine by name in GuestBin). The same
// content gives the same file, from the cache.
func (m *Maker) Disk(ctx context.Context, b Bundle, programs map[string]string) (string, error) {
	if err := m.Install(ctx, "e2fsprogs"); err != nil {
		return "", err
	}
	busybox, err := findProgram("busybox")
	if err != nil {
		return "", err
	}
	files := map[string]string{"bin/busybox": busybox}
	for name, file := range programs {
		files[GuestBin[1:]+"/"+name] = file
	}
	key, err := digest(files, []byte(b.Key()))
	if err != nil {
		return "", fmt.Errorf("guest disk: %w", err)
	}
	dir := filepath.Join(m.cache, "disk", key)
	image := filepath.Join(dir, "root.ext4")
	now := time.Now()
	if os.Chtimes(dir, now, now) == nil {
		return image, nil
	}
	err = atomically(dir, func(tmp string) error {
		root := filepath.Join(tmp, "root")
		if err := fillRoot(root, b, files); err != nil {
			return err
		}
		if err := makeExt4(ctx, filepath.Join(tmp, "root.ext4"), root); err != nil {
			return err
		}
		return os.RemoveAll(root)
	})
	if err != nil {
		return "", fmt.Errorf("guest disk: %w", err)
	}
	return image, prune(filepath.Dir(dir), keepDisks)
}

func fillRoot(root string, b Bundle, files map[string]string) error {
	for _, d := range []string{"etc", "root", "proc", "sys", "dev", "run", "tmp", "var/lib", "var/log", "mnt"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", filepath.Join(root, "var/run")); err != nil {
		return err
	}
	for name, text := range guestFiles {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for dst, src := range files {
		if err := copyFile(filepath.Join(root, dst), src, 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("busybox", filepath.Join(root, "bin/sh")); err != nil {
		return err
	}
	if err := copyTree(root, b.Sysroot()); err != nil {
		return err
	}
	dst := filepath.Join(root, GuestBundle)
	if err := copyTree(filepath.Join(dst, "bin"), filepath.Join(string(b), "bin")); err != nil {
		return err
	}
	return copyFile(filepath.Join(dst, "images.tar"), filepath.Join(string(b), "images.tar"), 0o644)
}

// copyTree copies the files below src; links and special files don't occur.
func copyTree(dst, src string) error {
	return filepath.WalkDir(src, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(src, path)
		if err != nil {
			return err
		}
		return copyFile(filepath.Join(dst, rel), path, 0o755)
	})
}

// makeExt4 makes a file system from a directory, without mounting it. There is
// no journal: the guest's disk is thrown away after every run.
func makeExt4(ctx context.Context, image, root string) error {
	var size int64
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		return nil
	})
	if err != nil {
		return err
	}
	// An eighth for inodes, bitmaps and partly filled blocks.
	kib := (size + size/8 + diskRoom) >> 10
	mke2fs, err := findProgram("mke2fs")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, mke2fs, "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-m", "0",
		"-E", "root_owner=0:0", "-L", "guest", "-d", root, image, strconv.FormatInt(kib, 10)+"k")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("mke2fs: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// prune removes all but the newest directories below dir.
func prune(dir string, keep int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	type aged struct {
		path string
		time time.Time
	}
	var dirs []aged
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && e.IsDir() && e.Name()[0] != '.' {
			dirs = append(dirs, aged{filepath.Join(dir, e.Name()), info.ModTime()})
		}
	}
	var errs []error
	for len(dirs) > keep {
		oldest := 0
		for i := range dirs {
			if dirs[i].time.Before(dirs[oldest].time) {
				oldest = i
			}
		}
		errs = append(errs, os.RemoveAll(dirs[oldest].path))
		dirs = append(dirs[:oldest], dirs[oldest+1:]...)
	}
	return errors.Join(errs...)
}
