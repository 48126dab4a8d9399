package cgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// FS is a mounted cgroup v2 file system. Its methods may be called
// concurrently.
type FS struct {
	dir *os.File
	// mount is dir's path as the kernel prints it, links resolved.
	mount string
}

// Open finds the cgroup v2 file system at root, usually /sys/fs/cgroup, or at
// root/unified, where systemd's hybrid layout has it. It returns ErrNoV2 if
// neither is one.
func Open(root string) (*FS, error) {
	for _, dir := range []string{root, filepath.Join(root, "unified")} {
		// Not O_PATH: open_by_handle_at takes no such descriptor for the mount.
		f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("cgroup file system: %w", err)
		}
		var st unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
			return nil, errors.Join(fmt.Errorf("cgroup file system %s: %w", dir, err), f.Close())
		}
		if st.Type == unix.CGROUP2_SUPER_MAGIC {
			mount, err := os.Readlink(fdPath(int(f.Fd())))
			if err != nil {
				return nil, errors.Join(fmt.Errorf("cgroup file system %s: %w", dir, err), f.Close())
			}
			return &FS{dir: f, mount: mount}, nil
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("cgroup file system %s: %w", dir, err)
		}
	}
	return nil, fmt.Errorf("%s: %w", root, ErrNoV2)
}

func fdPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// Close lets go of the mount.
func (f *FS) Close() error { return f.dir.Close() }

// ID returns the id of the cgroup at path. It is the inode number of the
// directory: kernfs uses one number for both on 64-bit (since Linux 5.5).
func (f *FS) ID(path string) (uint64, error) {
	fi, err := os.Stat(filepath.Join(f.dir.Name(), path))
	if err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", path, err)
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || !fi.IsDir() {
		return 0, fmt.Errorf("cgroup %s: not a directory", path)
	}
	return st.Ino, nil
}

// fileIDKernfs is FILEID_KERNFS: a file handle that is the 64-bit id alone
// (enum fid_type, since Linux 5.5).
const fileIDKernfs = 0xfe

// Path returns the path of the cgroup with that id, relative to the mount. It
// needs CAP_DAC_READ_SEARCH. A cgroup that is gone gives ESTALE or ENOENT.
func (f *FS) Path(id uint64) (string, error) {
	handle := unix.NewFileHandle(fileIDKernfs, binary.NativeEndian.AppendUint64(nil, id))
	fd, err := unix.OpenByHandleAt(int(f.dir.Fd()), handle, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("cgroup id %d: %w", id, err)
	}
	defer unix.Close(fd)
	p, err := os.Readlink(fdPath(fd))
	if err != nil {
		return "", fmt.Errorf("cgroup id %d: %w", id, err)
	}
	rel, ok := strings.CutPrefix(p, f.mount)
	if !ok || (rel != "" && rel[0] != '/') || strings.HasSuffix(rel, " (deleted)") {
		return "", fmt.Errorf("cgroup id %d: at %q, not below %s", id, p, f.mount)
	}
	return filepath.Join(Root, rel), nil
}

// FirstProcess returns a process of the cgroup at path or of one directly
// below it, as crun puts a container's processes into a child; 0 if there is
// none.
func (f *FS) FirstProcess(path string) (int, error) {
	dir := filepath.Join(f.dir.Name(), path)
	pid, err := firstPID(filepath.Join(dir, "cgroup.procs"))
	if err != nil || pid != 0 {
		return pid, err
	}
	children, err := filepath.Glob(filepath.Join(dir, "*", "cgroup.procs"))
	if err != nil {
		return 0, fmt.Errorf("cgroup %s: %w", path, err)
	}
	for _, child := range children {
		if pid, err := firstPID(child); err == nil && pid != 0 {
			return pid, nil
		}
	}
	return 0, nil
}

func firstPID(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, fmt.Errorf("processes of cgroup: %w", err)
	}
	line, _, _ := strings.Cut(string(b), "\n")
	if line == "" {
		return 0, nil
	}
	pid, err := strconv.Atoi(line)
	if err != nil {
		return 0, fmt.Errorf("processes of cgroup: %s: %w", file, err)
	}
	return pid, nil
}
