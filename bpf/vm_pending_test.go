//go:build vmtest && linux

package bpf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// unlinkWhenTold says which thread will do it.
func unlinkWhenTold(path string) error {
	runtime.LockOSThread()
	fmt.Println(unix.Gettid())
	if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
		return err
	}
	return unix.Unlink(path)
}

// A return that the kernel skipped leaves an entry behind. The thread's next call
// for another file must not be told as the token's.
func testStalePending(t *testing.T, s *Sensor) {
	if s.Mode() == ModeKprobe {
		return // has no returns
	}
	dir := publicDir(t, "")
	path, other := token(t, dir), filepath.Join(dir, "other")
	put(t, other, nil)
	defer watch(t, s, path, 5).Close()

	cmd := child("unlink-when-told", other)
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if errIn != nil || errOut != nil || cmd.Start() != nil {
		t.Fatal("child not started")
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	tid, errTid := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || errTid != nil {
		t.Fatalf("%q, %v", line, err)
	}
	key := uint64(cmd.Process.Pid)<<32 | uint64(tid)
	if err := s.coll.Maps["pending"].Put(key, pendingUnlink(t, 5)); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if events := drain(t, s); len(events) != 0 {
		t.Errorf("unlink of another file: %+v", events)
	}
	if out, err := child("unlink", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if e := one(t, s); e.Kind != KindUnlink {
		t.Errorf("unlink of the token: %+v", e)
	}
}

// pendingUnlink is what the entry of vfs_unlink notes, of some dentry or other.
func pendingUnlink(t *testing.T, placement uint64) []byte {
	t.Helper()
	spec, err := loadLsm()
	if err != nil {
		t.Fatal(err)
	}
	m := spec.Maps["pending"]
	raw := make([]byte, m.ValueSize)
	for _, member := range m.Value.(*btf.Struct).Members {
		switch member.Name {
		case "placement":
			binary.NativeEndian.PutUint64(raw[member.Offset.Bytes():], placement)
		case "object":
			binary.NativeEndian.PutUint64(raw[member.Offset.Bytes():], 0x1234)
		case "kind":
			raw[member.Offset.Bytes()] = byte(KindUnlink)
		}
	}
	return raw
}
