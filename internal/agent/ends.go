package agent

import (
	"container/list"
	"context"
	"log/slog"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/bpf"
)

// maxOpens bounds how many opens' ends are waited for.
const maxOpens = 4096

// ends are the opens that were told and have not ended. The kernel names an open
// file by its address, which another has once it is gone; the time of the open
// tells them apart.
type ends struct {
	timeout time.Duration
	open    map[uint64]*list.Element
	order   *list.List // of openFile, the oldest in front
}

type openFile struct {
	handle uint64
	at     time.Duration
	access beesting.Access
}

func newEnds(timeout time.Duration) *ends {
	if timeout <= 0 {
		timeout = time.Minute
	}
	return &ends{timeout: timeout, open: map[uint64]*list.Element{}, order: list.New()}
}

// add remembers an open, and returns those that had to make room for it.
func (t *ends) add(e bpf.Event, a beesting.Access) (unseen []beesting.Access) {
	if old := t.open[e.Handle]; old != nil { // its end was lost
		unseen = append(unseen, t.remove(old).access)
	}
	t.open[e.Handle] = t.order.PushBack(openFile{e.Handle, e.Time, a})
	if t.order.Len() > maxOpens {
		unseen = append(unseen, t.remove(t.order.Front()).access)
	}
	return unseen
}

func (t *ends) remove(at *list.Element) openFile {
	f, _ := t.order.Remove(at).(openFile)
	delete(t.open, f.handle)
	return f
}

// end returns the open whose end e is.
func (t *ends) end(e bpf.Event) (beesting.Access, bool) {
	at := t.open[e.Handle]
	if at == nil {
		return beesting.Access{}, false
	}
	if f, _ := at.Value.(openFile); f.at != e.OpenTime {
		return beesting.Access{}, false
	}
	return t.remove(at).access, true
}

// expired returns the opens from before a time on the boot clock.
func (t *ends) expired(before time.Duration) (unseen []beesting.Access) {
	for at := t.order.Front(); at != nil; at = t.order.Front() {
		if f, _ := at.Value.(openFile); f.at >= before {
			break
		}
		unseen = append(unseen, t.remove(at).access)
	}
	return unseen
}

// await waits for the end of an access that was told, if that is to come.
func (c *Core) await(tell context.Context, e bpf.Event, a beesting.Access) {
	if !a.Ongoing {
		return
	}
	c.finish(tell, c.ends.add(e, a))
	c.count(func(s *CoreStats) { s.OpenFiles = c.ends.order.Len() })
}

// ended tells the end of an open.
func (c *Core) ended(tell context.Context, e bpf.Event) {
	a, ok := c.ends.end(e)
	if !ok {
		c.count(func(s *CoreStats) { s.EndsUnmatched++ })
		return
	}
	// From the same sample as the start: what lies between is the kernel's.
	a.EndTime = a.Time.Add(e.Time - e.OpenTime)
	a.Reads, a.Writes = e.Reads, e.Writes
	c.tellEnd(tell, a)
}

// finish tells of opens whose end is not waited for any longer.
func (c *Core) finish(tell context.Context, unseen []beesting.Access) {
	for _, a := range unseen {
		c.tellEnd(tell, a)
	}
}

func (c *Core) tellEnd(tell context.Context, a beesting.Access) {
	a.Ongoing = false
	c.enrich(&a)
	err := c.sink.End(tell, a)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.OpenFiles = c.ends.order.Len()
	switch {
	case err != nil:
		c.stats.SinkErrors++
		c.complaints.ends.note(err, slog.String("token", a.Placement.Token.Name))
	case a.EndTime.IsZero():
		c.stats.EndsUnseen++
	default:
		c.stats.Ends++
	}
}

// expire gives up the ends of opens that take longer than the time-out.
func (c *Core) expire(tell context.Context) {
	now, err := c.clock.Boot()
	if err != nil {
		return
	}
	c.out.Lock()
	defer c.out.Unlock()
	c.finish(tell, c.ends.expired(now-c.ends.timeout))
}

// EndOpens gives up the ends that are waited for: each open that lasts is told to
// have ended, with a zero EndTime. It is for a sink that can take no end later.
func (c *Core) EndOpens() {
	c.out.Lock()
	defer c.out.Unlock()
	c.letAllGo(context.Background())
	c.finish(context.Background(), c.ends.expired(1<<63-1))
}

// closeOff gives up all ends, and tells what still waits for its placement.
func (c *Core) closeOff(tell context.Context) {
	c.out.Lock()
	defer c.out.Unlock()
	c.releaseAll(tell)
	c.waiting.on = false
	c.letAllGo(tell)
	c.finish(tell, c.ends.expired(1<<63-1))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.complaints.flush()
}
