package vm

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// fsTool says how an empty file system is made.
type fsTool struct {
	program, pkg string
	args         []string
	mib          int64
}

// fsTools are the file systems Config.Filesystems knows. The sizes are the least
// the tools accept, with room to write: the images are sparse.
var fsTools = map[string]fsTool{
	"ext4":  {program: "mke2fs", pkg: "e2fsprogs", args: []string{"-q", "-F", "-t", "ext4"}, mib: 128},
	"xfs":   {program: "mkfs.xfs", pkg: "xfsprogs", args: []string{"-q", "-f"}, mib: 320},
	"btrfs": {program: "mkfs.btrfs", pkg: "btrfs-progs", args: []string{"-q", "-f"}, mib: 256},
}

// emptyFilesystem returns an image with an empty file system, made once and
// kept. Guests get it as a snapshot and never change it.
func emptyFilesystem(ctx context.Context, progress io.Writer, kind string) (string, error) {
	tool, ok := fsTools[kind]
	if !ok {
		return "", fmt.Errorf("file system %s: want one of %v", kind, slices.Sorted(mapKeys(fsTools)))
	}
	dir, err := cacheDir()
	if err != nil {
		return "", err
	}
	unlock, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	image := filepath.Join(dir, fmt.Sprintf("empty-%dm.%s", tool.mib, kind))
	if exists(image) {
		return image, nil
	}
	program, err := need(ctx, progress, tool.program, tool.pkg)
	if err != nil {
		return "", err
	}
	return image, makeImage(image, tool.mib, func(path string) error {
		_, err := output(exec.CommandContext(ctx, program, append(slices.Clone(tool.args), path)...))
		return err
	})
}

// MakeDisk makes an ext4 image of mib MiB with the content of dir, for
// Config.Disk. It needs no loop device and no mount. An image that a test run
// uses again and again is better made once with this than by passing the
// directory to Config.Disk each time.
func MakeDisk(ctx context.Context, image, dir string, mib int64, progress io.Writer) error {
	program, err := need(ctx, progress, "mke2fs", "e2fsprogs")
	if err != nil {
		return err
	}
	return makeImage(image, mib, func(path string) error {
		// No journal and no lazy initialisation: the guest writes to a snapshot
		// that is thrown away, and background writes would only cost time.
		_, err := output(exec.CommandContext(ctx, program, "-q", "-F", "-t", "ext4", "-O", "^has_journal",
			"-E", "lazy_itable_init=0,root_owner=0:0", "-m", "0", "-d", dir, path, strconv.FormatInt(mib, 10)+"M"))
		return err
	})
}

// makeImage lets fill write a sparse file that gets its name last.
func makeImage(image string, mib int64, fill func(path string) error) error {
	f, err := os.CreateTemp(filepath.Dir(image), ".image-")
	if err != nil {
		return fmt.Errorf("disk image: %w", err)
	}
	defer os.Remove(f.Name())
	err = f.Truncate(mib << 20)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = fill(f.Name())
	}
	if err != nil {
		return fmt.Errorf("disk image: %w", err)
	}
	if err := os.Rename(f.Name(), image); err != nil {
		return fmt.Errorf("disk image: %w", err)
	}
	return nil
}

// rootDisk returns the image for Config.Disk: disk itself when it is a file,
// else an image of that directory in tmp, with half as much room again.
func rootDisk(ctx context.Context, disk, tmp string, progress io.Writer) (string, error) {
	info, err := os.Stat(disk)
	if err != nil {
		return "", fmt.Errorf("disk: %w", err)
	}
	if !info.IsDir() {
		return disk, nil
	}
	var size int64
	err = filepath.WalkDir(disk, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			// Every file costs an inode and at least a block.
			size += info.Size() + 8<<10
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("disk: %w", err)
	}
	image := filepath.Join(tmp, "root.ext4")
	return image, MakeDisk(ctx, image, disk, size/2*3>>20+256, progress)
}
