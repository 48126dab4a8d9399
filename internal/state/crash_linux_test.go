package state

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The child of TestKill is told what to do by these.
const (
	crashDir  = "BEESTING_TEST_CRASH_DIR"
	crashStep = "BEESTING_TEST_CRASH_STEP"
)

// TestKill kills a process at each step of planting, recording, removing and
// migrating in turn, kill -9, and looks at what it left.
func TestKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(t, dir)
		return
	}
	steps := map[string]bool{}
	for n := 1; ; n++ {
		path := oldDir(t, map[string]string{"old1.json": `{"container":"old1","tokens":[{"name":"t"}]}`, "old2.json": "{"})
		told := crashRun(t, path, n)
		checkAfterCrash(t, n, path, told)
		if t.Failed() {
			t.Fatalf("killed at step %d, after %v", n, told)
		}
		for _, line := range told {
			if step, ok := strings.CutPrefix(line, "step "); ok {
				steps[step] = true
			}
		}
		if slices.Contains(told, "end") {
			t.Logf("killed at each of %d steps", n-1)
			break
		}
	}
	for _, step := range []string{
		"locked", "loaded", "file made", "file written", "file in place", "record noted", "batch taken", "batch committed",
		"old record removed", "file removed", "removal noted",
	} {
		if !steps[step] {
			t.Errorf("step %q did not come", step)
		}
	}
}

// crashRun returns the lines that the child wrote until it was killed at its
// nth step, or ended.
func crashRun(t *testing.T, path string, n int) []string {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), crashDir+"="+path, crashStep+"="+strconv.Itoa(n))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var told []string
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		told = append(told, lines.Text())
	}
	killed := exit != nil && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL
	if ended := slices.Contains(told, "end"); ended == killed {
		t.Fatalf("step %d: %v\n%s", n, err, out)
	}
	return told
}

// crashChild does what an agent does with three containers. What it tells its
// parent has reached the pipe when the kill comes.
func crashChild(t *testing.T, path string) {
	last, err := strconv.ParseInt(os.Getenv(crashStep), 10, 64)
	must(t, err)
	tell := func(format string, args ...any) { fmt.Fprintf(os.Stdout, format+"\n", args...) }
	var steps atomic.Int64
	d, err := Open(path, Options{CloseTimeout: time.Minute, Step: func(name string) {
		tell("step %s", name)
		if steps.Add(1) == last {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it comes
		}
	}})
	must(t, err)
	_, err = d.Key()
	must(t, err, d.Mark("boot", 1))
	for i := range 3 {
		c := fmt.Sprint("c", i)
		f := file(c)
		f.Content = []byte("content of " + c)
		name, err := d.Write(f)
		must(t, err)
		r := planting(c, tokenID(string(rune('b'+i))))
		r.Tokens[0].File = name
		must(t, d.WriteRecord(r))
		tell("answered %s", c) // the runtime mounts the file from here on
		if i != 1 {
			tell("removes %s", c) // the runtime has removed the container
			must(t, d.Remove(name), d.RemoveRecord(c))
		}
	}
	must(t, d.Close())
	tell("end")
}

func checkAfterCrash(t *testing.T, n int, path string, told []string) {
	t.Helper()
	d := openWith(t, path, Options{})
	needed := map[string]bool{}
	for _, line := range told {
		if c, ok := strings.CutPrefix(line, "answered "); ok {
			needed[c] = true
		} else if c, ok := strings.CutPrefix(line, "removes "); ok {
			needed[c] = false
		}
	}
	if s := d.Stats(); s.SetAside != "" {
		t.Errorf("step %d: %+v", n, s)
	}
	files, containers, err := d.Leftovers()
	must(t, err)
	for c, is := range needed {
		if !is {
			continue
		}
		// Also where the record is lost: the path is found out from the names.
		name := d.FilePath(file(c))
		if b, err := os.ReadFile(name); err != nil || string(b) != "content of "+c {
			t.Errorf("step %d: container %s needs %s: %q, %v", n, c, name, b, err)
		}
		if r, err := d.Record(c); err == nil && r.Tokens[0].File != name {
			t.Errorf("step %d: record of %s: %+v", n, c, r)
		}
	}
	for _, c := range containers {
		r, err := d.Record(c)
		must(t, err)
		for _, token := range r.Tokens {
			if token.File == "" {
				continue // of the old layout's
			}
			if _, err := os.Stat(token.File); err != nil && needed[c] {
				t.Errorf("step %d: record of %s: %v", n, c, err)
			}
		}
	}
	checkOldRecord(t, n, path, d)
	must(t, d.Close())
	checkNothingUnknown(t, n, path, files)
}

// checkOldRecord: at no step is the old record in neither layout.
func checkOldRecord(t *testing.T, n int, path string, d *Dir) {
	t.Helper()
	if r, err := d.Record("old1"); err != nil || len(r.Tokens) != 1 {
		t.Errorf("step %d: old record: %+v, %v", n, r, err)
	}
	if _, err := os.Stat(filepath.Join(path, oldRecords, "old2.json.damaged")); err != nil {
		t.Errorf("step %d: %v", n, err)
	}
}

// checkNothingUnknown: each file is one of the agent's own, or was listed for it
// to collect.
func checkNothingUnknown(t *testing.T, n int, path string, listed []string) {
	t.Helper()
	own := []string{"lock", "node.key", "watched", databaseName, "containers/old2.json.damaged"}
	must(t, filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if rel, _ := filepath.Rel(path, name); !slices.Contains(own, rel) && !slices.Contains(listed, name) {
			t.Errorf("step %d: nobody knows of %s", n, rel)
		}
		return nil
	}))
}
