//go:build linux

package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// grownAtMost bounds by how much the agent's memory at the end of a flood may
// exceed what it was in the first half, when collecting garbage has its way.
const grownAtMost = 8 << 20

func mib(n uint64) float64 { return float64(n) / (1 << 20) }

// print says what there was.
func (r *flooded) print() {
	b := r.told.books
	fmt.Printf("%d processes, %d tokens, %v, mode %s\n", r.processes, r.tokens, r.took.Round(time.Second), r.told.ready.Mode)
	fmt.Printf("opens made       %9d   by the processes' own count (%.0f a second)\n", r.made(), float64(r.made())/r.took.Seconds())
	if b == nil {
		return
	}
	fmt.Printf("seen             %9d   counted in the kernel: %v\n", sum(b.Seen), b.Seen)
	fmt.Printf("delivered        %9d   accesses\n", b.Delivered)
	fmt.Printf("coalesced        %9d   touches that those stand for beside their own\n", b.Coalesced)
	fmt.Printf("lost             %9d   touches, in gap records: %v\n", b.Lost, r.told.gaps)
	fmt.Printf("difference       %9d\n", int64(sum(b.Seen))-int64(b.Delivered+b.Coalesced+b.Lost))
	fmt.Printf("first touches    %9d   of %d pairs of process and token delivered\n", len(r.told.accesses), r.processes*r.tokens)
	fmt.Printf("sink             %9d   accesses for %d touches, by class %v\n", r.told.lines, r.told.touches, r.told.classes)
	fmt.Printf("spans            %9d   opens told while they went on, %d ends seen, %d not\n", r.told.ongoing, r.told.ends, r.told.endsUnseen)
	if r.kill {
		given, booked := r.told.touches+r.told.missing(), b.Delivered+b.Coalesced+b.Lost
		fmt.Printf("told twice       %9d   touches, because of the kill\n", int64(given)-int64(booked))
	}
	fmt.Printf("events lost      %9d   in the kernel, told later or as lost\n", b.KernelLost)
	first, mid, last := r.memory()
	fmt.Printf("agent's memory   %9.1f   MiB idle, %.1f after a second, %.1f half-way, %.1f at the end: %s\n",
		mib(r.idle.rss), mib(first), mib(mid), mib(last), r.series())
	fmt.Printf("agent's CPU      %9.0f %% of one processor, shared with the flood\n", 100*r.cpu())
}

func sum(m map[string]uint64) uint64 {
	var n uint64
	for _, v := range m {
		n += v
	}
	return n
}

func (r *flooded) memory() (first, mid, last uint64) {
	if len(r.samples) == 0 {
		return 0, 0, 0
	}
	return r.samples[0].rss, r.samples[len(r.samples)/2].rss, r.samples[len(r.samples)-1].rss
}

// series is the memory at about every tenth of the time, in MiB.
func (r *flooded) series() string {
	var b strings.Builder
	for i := 0; i < len(r.samples); i += max(1, len(r.samples)/10) {
		fmt.Fprintf(&b, "%.0f ", mib(r.samples[i].rss))
	}
	return strings.TrimSpace(b.String())
}

// cpu is the agent's share of a processor between the first and last sample.
func (r *flooded) cpu() float64 {
	n := len(r.samples)
	if n < 2 {
		return 0
	}
	return float64(r.samples[n-1].cpu-r.samples[0].cpu) / float64(time.Duration(n-1)*time.Second)
}

// judge returns everything that doesn't hold.
func (r *flooded) judge() error {
	b := r.told.books
	if b == nil {
		return errors.New("the agent told no books")
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if b.Seen["open"] != r.made() || sum(b.Seen) != r.made() {
		wrong("%d opens were made, the kernel counted %v", r.made(), b.Seen)
	}
	for _, u := range b.Uneven {
		wrong("sum doesn't hold: %s", u)
	}
	if b.Placements != r.tokens {
		wrong("%d placements counted, want %d", b.Placements, r.tokens)
	}
	// What the first agent had taken and not told when it was killed is a loss,
	// and said to be one.
	if got := len(r.told.accesses); got != r.processes*r.tokens && !r.kill {
		wrong("first touches of %d pairs of process and token delivered, want %d", got, r.processes*r.tokens)
	}
	if n := b.Stats.SinkErrors + b.Stats.DecodeErrors + b.Stats.AccountErrors; n != 0 {
		wrong("%d errors: %+v", n, b.Stats)
	}
	first, mid, last := r.memory()
	if before := max(r.idle.rss, first, mid); last > before+grownAtMost {
		wrong("the agent's memory grew from %.1f to %.1f MiB in the second half", mib(before), mib(last))
	}
	return errors.Join(append(errs, r.judgeSink())...)
}

// judgeSink compares the books with what the sink was given. After a kill the
// last of what the sink got may not be in the books: it is told again then, or
// as lost, never too little.
func (r *flooded) judgeSink() error {
	b, t := r.told.books, r.told
	given, booked := t.touches+t.missing(), b.Delivered+b.Coalesced+b.Lost
	if r.kill {
		if given < booked {
			return fmt.Errorf("the books say %d touches were told, the sink was given %d", booked, given)
		}
		if n := len(t.malformed); n > 1 { // one line may be cut off
			return fmt.Errorf("lines that make no sense: %q", t.malformed)
		}
		return nil
	}
	var errs []error
	if given != booked || t.lines != b.Delivered {
		errs = append(errs, fmt.Errorf("the books say %d accesses and %d touches, the sink was given %d and %d", b.Delivered, booked, t.lines, given))
	}
	if t.ongoing != t.ends+t.endsUnseen {
		errs = append(errs, fmt.Errorf("%d opens went on, %d ended and %d were given up", t.ongoing, t.ends, t.endsUnseen))
	}
	if len(t.malformed) > 0 {
		errs = append(errs, fmt.Errorf("lines that make no sense: %q", t.malformed))
	}
	return errors.Join(errs...)
}
