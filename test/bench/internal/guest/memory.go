//go:build linux && (amd64 || arm64)

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/bpf"
	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// memoryWatched is how many inodes are watched where memory is measured.
const memoryWatched = 10000

// memory reports what watching takes in each mode.
func (d *driver) memory() error {
	if err := makeFiles(d.touched, d.watched, memoryWatched); err != nil {
		return err
	}
	for _, mode := range bpf.Modes() {
		m, err := d.memoryOf(mode)
		if err != nil {
			return fmt.Errorf("memory in mode %s: %w", mode, err)
		}
		if err := report(figure.Figure{Memory: &m}); err != nil {
			return err
		}
	}
	return nil
}

func (d *driver) memoryOf(mode bpf.Mode) (figure.Memory, error) {
	m := figure.Memory{Mode: string(mode), Watched: memoryWatched}
	s, err := bpf.Open(bpf.Options{Mode: mode})
	if err != nil {
		return m, err
	}
	drained := drain(s)
	before, err := readUsage()
	for i := 0; i < memoryWatched && err == nil; i++ {
		err = d.watchOne(i, watchWith(s))
	}
	if err == nil {
		err = d.seesTouch(memoryWatched, opens(s))
	}
	after, errAfter := readUsage()
	err = errors.Join(err, errAfter, s.Close(), <-drained)
	m.MapsEmpty, m.Maps = before.maps, after.maps
	m.Slab, m.RSS, m.Used = grown(before.slab, after.slab), grown(before.rss, after.rss), grown(before.used, after.used)
	m.Descriptors = after.descriptors - before.descriptors
	return m, err
}

// grown is zero where it shrank: what is freed late in the kernel comes from
// what was measured before.
func grown(before, after uint64) uint64 {
	if after < before {
		return 0
	}
	return after - before
}

// usage is a look at the machine's memory, in bytes.
type usage struct {
	maps, slab, rss, used uint64
	descriptors           int
}

func readUsage() (usage, error) {
	debug.FreeOSMemory()
	unix.Sync()
	// What is cached and no longer of use would count as used.
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0); err != nil {
		return usage{}, err
	}
	var u usage
	var err error
	if u.maps, err = mapsMemory(); err != nil {
		return u, err
	}
	machine, err := fields("/proc/meminfo")
	if err != nil {
		return u, err
	}
	process, err := fields("/proc/self/status")
	if err != nil {
		return u, err
	}
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return u, err
	}
	u.slab, u.rss = machine["SUnreclaim"], process["VmRSS"]
	u.used = machine["MemTotal"] - machine["MemFree"] - machine["Cached"] - machine["Buffers"]
	u.descriptors = len(open)
	return u, nil
}

// mapsMemory is what the kernel charges for all maps.
func mapsMemory() (uint64, error) {
	var sum uint64
	for id := ebpf.MapID(0); ; {
		next, err := ebpf.MapGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return sum, nil
		} else if err != nil {
			return 0, err
		}
		id = next
		m, err := ebpf.NewMapFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			continue // gone meanwhile
		} else if err != nil {
			return 0, err
		}
		info, err := m.Info()
		if err == nil {
			n, _ := info.Memlock()
			sum += n
		}
		if err := errors.Join(err, m.Close()); err != nil {
			return 0, err
		}
	}
}

// fields reads "Name: 12 kB" lines, in bytes.
func fields(path string) (map[string]uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	values := map[string]uint64{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		number, isKiB := strings.CutSuffix(strings.TrimSpace(rest), " kB")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil && isKiB {
			values[name] = n << 10
		}
	}
	return values, lines.Err()
}
