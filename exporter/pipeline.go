package exporter

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// sender encodes a batch and makes one attempt to deliver it. It is called by
// one goroutine. What was said over whatever protocol, it judges itself: the
// error beside the outcome is for people only, and may be nil in any case.
type sender interface {
	send(ctx context.Context, batch []item) (outcome, error)
	// close releases what the sender holds. Nothing is sent afterwards.
	close(ctx context.Context) error
}

// verdict says what to do with a batch after an attempt.
type verdict uint8

const (
	// delivered: the other side has it.
	delivered verdict = iota
	// away: the other side can't be reached or is busy. Retried for ever.
	away
	// doubtful: the answer may be about the other side or about the batch (an
	// "internal error" is said of both). Retried for a while.
	doubtful
	// unfit: there is something wrong with a record of the batch.
	unfit
	// unwelcome: the other side will take nothing from this sender: credentials,
	// address or protocol are wrong.
	unwelcome
)

// outcome is what came of one attempt.
type outcome struct {
	verdict verdict
	cause   string        // in a word fit for a statistic; empty when delivered
	after   time.Duration // the other side asks to wait so long; 0 if it doesn't
	// Of a delivered batch so many were not accepted, and message says why.
	rejected int
	message  string
	// taken are the positions in the batch, ascending, of what the other side
	// has although the verdict is another one: that is about the rest.
	taken []int
}

// pace says how a pipeline paces itself.
type pace struct {
	batch       int           // most accesses in a request
	first, most time.Duration // waits between attempts: the first, and the longest
	closing     time.Duration // the longest wait once Shutdown was called
	asked       time.Duration // the longest that a back end may ask for
	doubts      int           // attempts before a doubtful batch counts as unfit
}

// defaultPace: the first retry comes soon since most outages are a connection
// that has to be made again; thirty seconds is what the exporters' own retry
// ends with. Ten doubtful attempts take about a minute.
func defaultPace() pace {
	return pace{
		batch: 256,
		first: 200 * time.Millisecond, most: 30 * time.Second,
		closing: time.Second, asked: 5 * time.Minute,
		doubts: 10,
	}
}

// pipeline delivers one signal: in order, one batch at a time, again and again
// until the other side has it or says that it never will.
type pipeline struct {
	source source
	sender sender
	pace   pace
	jitter func() float64 // in [0, 1)
	tally  *tally
	news   *news

	closing chan struct{} // closed when it is to end: hurry

	// The state of the attempts, of the goroutine in run alone.
	limit    int  // accesses in the next request
	suspect  bool // one access of the batch is being looked for
	attempts int  // without success, for the next wait
	doubts   int
}

func newPipeline(src source, snd sender, t *tally, n *news, p pace) *pipeline {
	return &pipeline{
		source: src, sender: snd, pace: p, jitter: rand.Float64, tally: t, news: n,
		closing: make(chan struct{}), limit: p.batch,
	}
}

// run delivers until the source has no more, or ctx ends.
func (p *pipeline) run(ctx context.Context) {
	for {
		batch, err := p.source.Next(ctx, p.limit)
		if err != nil {
			return
		}
		out, err := p.sender.send(ctx, batch)
		v := out.verdict
		batch = p.takeOut(batch, out.taken)
		if v != delivered && ctx.Err() != nil {
			return // what came of the attempt isn't known; the cursor stays
		}
		if v == doubtful {
			p.doubts++
			if p.suspect || p.doubts >= p.pace.doubts {
				v = unfit
			}
		}
		switch v {
		case delivered:
			p.acknowledge(len(batch), out)
		case unwelcome:
			p.setAside(len(batch), out.cause, err)
		case unfit:
			p.narrow(batch, out.cause, err)
		default:
			p.failed(out.cause, err)
			if !p.wait(ctx, out.after) {
				return
			}
		}
	}
}

// acknowledge moves the cursor. What a partial success rejects must not be
// sent again (OTLP), and which records it was, the outcome doesn't say.
func (p *pipeline) acknowledge(n int, out outcome) {
	p.source.Ack(n)
	bad := min(max(out.rejected, 0), n)
	p.tally.settle(n-bad, bad, causeRejected)
	if bad > 0 {
		p.news.lost(bad, causeRejected, fmt.Errorf("partial success: %s", bounded(out.message, maxReason)))
	}
	p.news.works()
	p.attempts, p.doubts = 0, 0
	p.limit = min(p.limit*2, p.pace.batch)
	p.suspect = p.suspect && p.limit < p.pace.batch
}

// takeOut settles what was taken of a batch and returns the rest.
func (p *pipeline) takeOut(batch []item, taken []int) []item {
	if len(taken) == 0 {
		return batch
	}
	p.source.Take(taken)
	p.tally.settle(len(taken), 0, "")
	rest := make([]item, 0, len(batch)-len(taken))
	for i, it := range batch {
		if len(taken) > 0 && taken[0] == i {
			taken = taken[1:]
			continue
		}
		rest = append(rest, it)
	}
	return rest
}

// narrow halves a batch that the other side refuses until the access that it
// can't take stands alone, so that one takes none of its neighbours with it.
func (p *pipeline) narrow(batch []item, cause string, err error) {
	if len(batch) > 1 {
		p.suspect = true
		p.limit = len(batch) / 2
		return
	}
	p.setAside(1, cause, err)
	// Patience again for the next: if the back end says the same to
	// everything, it is more likely ill than right.
	p.suspect, p.doubts = false, 0
}

func (p *pipeline) setAside(n int, cause string, err error) {
	p.source.SetAside(n, cause)
	p.tally.settle(0, n, cause)
	p.news.lost(n, cause, err)
	p.attempts = 0
}

func (p *pipeline) failed(cause string, err error) {
	p.attempts++
	p.tally.retry(err)
	p.news.fails(cause, err)
}

// wait waits before the next attempt: exponentially longer with jitter (half
// to all of the time, so that the nodes of a cluster don't return in step), or
// as long as the back end asked. It returns false when ctx ended.
func (p *pipeline) wait(ctx context.Context, asked time.Duration) bool {
	closing := p.closing
	longest := p.pace.most
	select {
	case <-closing:
		longest, asked, closing = p.pace.closing, 0, nil
	default:
	}
	d := longest
	if shift := p.attempts - 1; shift < 32 {
		d = min(p.pace.first<<max(shift, 0), longest)
	}
	d = d/2 + time.Duration(p.jitter()*float64(d)/2)
	timer := time.NewTimer(max(d, min(asked, p.pace.asked)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-closing: // once: the next wait is a short one
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
