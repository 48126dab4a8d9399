package collectorproc

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Usage is what a process holds.
type Usage struct {
	FDs     int
	Threads int
	RSSKiB  int
}

// Usage reads /proc.
func (c *Collector) Usage() (Usage, error) {
	dir := fmt.Sprintf("/proc/%d", c.PID())
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return Usage{}, fmt.Errorf("open files of the collector: %w", err)
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return Usage{}, fmt.Errorf("status of the collector: %w", err)
	}
	u := Usage{FDs: len(fds)}
	for key, n := range map[string]*int{"Threads:": &u.Threads, "VmRSS:": &u.RSSKiB} {
		if *n, err = statusNumber(string(status), key); err != nil {
			return Usage{}, err
		}
	}
	return u, nil
}

// Files says where the process's file descriptors lead and how many lead there:
// it tells what leaks. TCP connections are "tcp to :PORT" and "tcp at :PORT" (of
// one that listens), other sockets "unix PATH" or "socket"; what has a number
// that differs from run to run is given without it.
func (c *Collector) Files() (map[string]int, error) {
	dir := fmt.Sprintf("/proc/%d", c.PID())
	fds, err := os.ReadDir(dir + "/fd")
	if err != nil {
		return nil, fmt.Errorf("open files of the collector: %w", err)
	}
	sockets, err := socketNames(dir + "/net")
	if err != nil {
		return nil, fmt.Errorf("sockets of the collector: %w", err)
	}
	out := map[string]int{}
	for _, fd := range fds {
		to, err := os.Readlink(dir + "/fd/" + fd.Name())
		if err != nil {
			continue // it was closed just now
		}
		name, number, _ := strings.Cut(to, ":[")
		if known := sockets[strings.TrimSuffix(number, "]")]; name == "socket" && known != "" {
			name = known
		}
		out[name]++
	}
	return out, nil
}

func statusNumber(status, key string) (int, error) {
	for line := range strings.Lines(status) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == key {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("status of the collector: no line %s", key)
}

// Goroutines counts goroutines by the function that they were started with.
type Goroutines map[string]int

var (
	goroutineHead = regexp.MustCompile(`^goroutine [0-9]+ .*\[.*\]:$`)
	// A frame is a function with its arguments; the line below it, with file and
	// line number, begins with a tab.
	frame = regexp.MustCompile(`^(\S+)\(.*\)$`)
)

// Below the outermost frame of ours: the end of every goroutine, and what runs
// a function given to sync.WaitGroup.Go.
const (
	goexit  = "runtime.goexit"
	starter = "sync.(*WaitGroup).Go.func1"
)

// parseDump reads what Go's runtime writes at SIGQUIT.
func parseDump(text string) (Goroutines, error) {
	out := Goroutines{}
	for block := range strings.SplitSeq(text, "\n\n") {
		inside, entry := false, ""
		for line := range strings.Lines(block) {
			line = strings.TrimRight(line, "\r\n")
			switch m := frame.FindStringSubmatch(line); {
			case goroutineHead.MatchString(line):
				inside = true
			case m != nil && m[1] != goexit && m[1] != starter:
				entry = m[1] // the last one is the outermost
			}
		}
		if inside {
			out[entry]++
		}
	}
	if len(out) == 0 {
		return nil, errors.New("goroutines of the collector: none in what it wrote at SIGQUIT")
	}
	return out, nil
}

// Of adds up the goroutines whose functions begin with a prefix.
func (g Goroutines) Of(prefix string) int {
	n := 0
	for entry, count := range g {
		if strings.HasPrefix(entry, prefix) {
			n += count
		}
	}
	return n
}
