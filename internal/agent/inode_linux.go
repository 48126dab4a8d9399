package agent

import (
	"os"
	"syscall"
)

// inodeOf returns the zero value for a file that can't be looked at.
func inodeOf(f *os.File) inode {
	fi, err := f.Stat()
	return inodeIn(fi, err)
}

// inodeAt is inodeOf for a name; a link is not followed.
func inodeAt(name string) inode {
	fi, err := os.Lstat(name)
	return inodeIn(fi, err)
}

func inodeIn(fi os.FileInfo, err error) inode {
	if err != nil {
		return inode{}
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}
	}
	return inode{dev: st.Dev, ino: st.Ino}
}

// ownedByRoot reports whether the file is root's, links followed.
func ownedByRoot(name string) bool {
	fi, err := os.Stat(name)
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Uid == 0
}
