package journal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	// crashDir tells the child of TestKill where its journal is.
	crashDir = "BEESTING_TEST_JOURNAL_DIR"
	// crashKills is how often TestKill kills a process, if not 20 times.
	crashKills = "BEESTING_TEST_JOURNAL_KILLS"
)

// TestKill kills a process that appends and delivers as fast as it can, kill -9, at
// a random moment, again and again on the same journal. What Append took is there,
// in order and once; and what is delivered twice is what the last fifth of a second
// acknowledged.
func TestKill(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		crashChild(dir)
		return
	}
	kills := 20
	if n := os.Getenv(crashKills); n != "" {
		kills = must(strconv.Atoi(n))
	}
	dir := t.TempDir()
	delivered := map[int]int{}
	appended, twice := 0, 0
	for range kills {
		told := killed(t, dir)
		for _, line := range told {
			n := must(strconv.Atoi(line[1:]))
			switch line[0] {
			case 'A':
				appended = max(appended, n+1)
			case 'D':
				if delivered[n]++; delivered[n] > 1 {
					twice++
				}
			}
		}
	}
	j := open(t, dir, Options{Log: slog.New(slog.DiscardHandler)})
	rest := counts(read(t, cursor(t, j, "logs"), 100))
	sound(t, rest)
	for _, n := range rest {
		delivered[n]++
	}
	for n := range appended {
		if delivered[n] == 0 {
			t.Fatalf("entry %d of %d was taken and never delivered", n, appended)
		}
	}
	s := j.Stats()
	if s.Damaged != 0 || s.DamagedFiles != 0 {
		t.Errorf("stats %+v", s)
	}
	t.Logf("%d kills: %d entries taken, all delivered, %d of them again after a kill", kills, appended, twice)
}

// killed returns what a child said before it was killed.
func killed(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), must(os.Executable()), "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out := must(cmd.StdoutPipe())
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var told []string
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			break // a line that was cut off was not said
		}
		if line == "ready\n" {
			time.AfterFunc(time.Duration(rand.IntN(int(60*time.Millisecond))), func() { _ = cmd.Process.Kill() })
			continue
		}
		told = append(told, line[:len(line)-1])
	}
	_ = cmd.Wait()
	if len(told) > 0 && slices.ContainsFunc(told, func(s string) bool { return s[0] != 'A' && s[0] != 'D' }) {
		t.Fatalf("the child says %q", told[len(told)-1])
	}
	return told
}

// crashChild appends entries, in goroutines of which one delivers, and says what it
// did after it did it. The entries' numbers go on where the journal ends.
func crashChild(dir string) {
	j, err := Open(dir, Options{MaxBytes: 64 << 20, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	j.o.MaxBytes = 64 << 20
	c, err := j.Cursor("logs", Whole)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	j.mu.Lock()
	next := int(j.next) - 1
	j.mu.Unlock()
	fmt.Println("ready")
	go func() {
		for {
			batch, err := c.Next(context.Background(), 16)
			if err != nil {
				return
			}
			for _, e := range batch {
				say(os.Stdout, 'D', int(e.Access.Count)-1)
			}
			c.Ack(len(batch))
		}
	}()
	for n := next; ; n++ {
		if err := j.Append(entry(n)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		say(os.Stdout, 'A', n)
	}
}

func say(w io.Writer, what byte, n int) { _, _ = fmt.Fprintf(w, "%c%d\n", what, n) }
