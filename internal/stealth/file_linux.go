package stealth

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What is asked of statx(2). The id of the mount is told since Linux 5.8.
const wanted = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID

func lookAt(f *os.File) (file, error) { return statx(f, "", unix.AT_EMPTY_PATH) }

func lookAtName(dir *os.File, name string) (file, error) {
	return statx(dir, name, unix.AT_SYMLINK_NOFOLLOW)
}

func statx(at *os.File, name string, flags int) (file, error) {
	var st unix.Statx_t
	if err := unix.Statx(int(at.Fd()), name, flags|unix.AT_NO_AUTOMOUNT, wanted, &st); err != nil {
		return file{}, os.NewSyscallError("statx", err)
	}
	f := file{
		dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino, major: st.Dev_major, minor: st.Dev_minor,
		mode: os.FileMode(st.Mode & 0o777), uid: st.Uid, gid: st.Gid, links: uint64(st.Nlink), size: int64(st.Size),
		modified: time.Unix(st.Mtime.Sec, int64(st.Mtime.Nsec)), change: time.Unix(st.Ctime.Sec, int64(st.Ctime.Nsec)),
	}
	if st.Mask&unix.STATX_MNT_ID != 0 {
		f.mount = st.Mnt_id
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		f.mode |= os.ModeDir
	default:
		f.mode |= os.ModeIrregular
	}
	return f, nil
}
