//go:build !linux

package agent

import "os"

// inodeOf returns the zero value: nothing is watched here.
func inodeOf(*os.File) inode { return inode{} }

// inodeAt returns the zero value too.
func inodeAt(string) inode { return inode{} }

// ownedByRoot reports false: nothing is recognised here.
func ownedByRoot(string) bool { return false }
