package parts

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"time"
)

// progress turns the output of `go build -v`, one line per package, into a line
// every few seconds. It keeps the end of the output for an error message.
type progress struct {
	what string
	log  func(string)
	quit chan struct{}
	done chan struct{}

	mu       sync.Mutex
	packages int
	last     []string
	partial  []byte
}

const (
	progressEvery = 10 * time.Second
	tailLines     = 40
)

func newProgress(what string, log func(string)) *progress {
	p := &progress{what: what, log: log, quit: make(chan struct{}), done: make(chan struct{})}
	go p.report()
	return p
}

func (p *progress) report() {
	defer close(p.done)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			p.mu.Lock()
			n := p.packages
			p.mu.Unlock()
			p.log(fmt.Sprintf("%s: %d packages compiled so far", p.what, n))
		}
	}
}

// stop ends the reports and waits for the last one.
func (p *progress) stop() {
	close(p.quit)
	<-p.done
}

// Write implements io.Writer.
func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, b...)
	for {
		line, rest, ok := bytes.Cut(p.partial, []byte{'\n'})
		if !ok {
			return len(b), nil
		}
		p.line(string(line))
		p.partial = append([]byte(nil), rest...)
	}
}

func (p *progress) line(s string) {
	// Downloads are reported as "go: downloading …".
	if !strings.HasPrefix(s, "go: ") {
		p.packages++
	}
	p.last = append(p.last, s)
	if len(p.last) > tailLines {
		p.last = p.last[1:]
	}
}

// tail is the end of the output.
func (p *progress) tail() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(append(p.last, string(p.partial)), "\n")
}
