//go:build e2e

package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// touchPrefix starts the name that a process which touches a token gives itself;
// the touch's number follows. The kernel side takes the name down at the touch,
// so each access tells which one it is.
const touchPrefix = "touch"

// toucherScript opens the file of its argument for each number that it is given,
// under a name with the number in it, in one and the same process: to start one
// for each touch takes a tenth of a second under emulation. The shell ends when
// the open fails, as `:` is a special built-in. The kernel takes a line's end for
// a part of the name.
const toucherScript = `while read n; do echo -n ` + touchPrefix + `$n >/proc/self/comm; : <"$1"; echo; done`

// Touches by one process are told one by one if there is the sensor's interval
// between them, so they come from several processes in turn.
const (
	touchers        = 16
	repeatInterval  = 100 * time.Millisecond // the least that can be configured
	betweenTouches  = repeatInterval + repeatInterval/5
	toucherLifetime = 30 * time.Second // to end when it is told to
)

// toucher is one such process.
type toucher struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	last time.Time
}

func startToucher(path string) (*toucher, error) {
	cmd := exec.Command("/bin/sh", "-c", toucherScript, "toucher", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &toucher{cmd: cmd, in: in, out: bufio.NewReader(out)}, nil
}

// touch returns when the file has been opened and closed.
func (c *toucher) touch(n int) error {
	time.Sleep(time.Until(c.last.Add(betweenTouches)))
	if _, err := fmt.Fprintf(c.in, "%07d\n", n); err != nil {
		return err
	}
	if _, err := c.out.ReadString('\n'); err != nil {
		return fmt.Errorf("touch %d: %w", n, err)
	}
	c.last = time.Now()
	return nil
}

func (c *toucher) end() error {
	err := c.in.Close()
	kill := time.AfterFunc(toucherLifetime, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	return errors.Join(err, c.cmd.Wait())
}

// turns are touchers that take turns; not safe for concurrent use.
type turns struct {
	all  []*toucher
	next int
}

// touch has the next one touch a path, which is always the same.
func (r *turns) touch(path string, n int) error {
	for len(r.all) < touchers {
		c, err := startToucher(path)
		if err != nil {
			return err
		}
		r.all = append(r.all, c)
	}
	c := r.all[r.next]
	r.next = (r.next + 1) % len(r.all)
	return c.touch(n)
}

func (r *turns) end() error {
	var errs []error
	for _, c := range r.all {
		errs = append(errs, c.end())
	}
	r.all = nil
	return errors.Join(errs...)
}
