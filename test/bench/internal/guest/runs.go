//go:build linux && (amd64 || arm64)

package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// Each operation is made few and many times by a child; the difference is free
// of what the child's own start brought.
const (
	fewTimes  = 32
	manyTimes = 160
)

// loaded is a program in the kernel under a name of its own.
type loaded struct {
	name string
	id   ebpf.ProgramID
	prog *ebpf.Program
}

// loadedPrograms are all programs in the kernel; nothing but what is measured
// loads any.
func loadedPrograms() ([]loaded, error) {
	var all []loaded
	names := map[string]bool{}
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return all, nil
		} else if err != nil {
			return all, err
		}
		id = next
		prog, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			continue // gone meanwhile
		} else if err != nil {
			return all, err
		}
		info, err := prog.Info()
		if err != nil {
			return all, errors.Join(err, prog.Close())
		}
		name := info.Name
		if names[name] {
			name = fmt.Sprintf("%s#%d", name, id)
		}
		names[name] = true
		all = append(all, loaded{name, id, prog})
	}
}

func closeAll(all []loaded) {
	for _, l := range all {
		l.prog.Close()
	}
}

// runs counts how often each program runs in each operation.
func (d *driver) runs() (map[string]map[string]float64, error) {
	all, err := loadedPrograms()
	defer closeAll(all)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		return nil, err
	}
	defer stats.Close()
	runs := map[string]map[string]float64{}
	for _, op := range figure.Ops {
		var rounds [3][]uint64
		for i, times := range []int{0, fewTimes, manyTimes} {
			if times > 0 {
				if _, err := d.child("repeat", d.touched, op, strconv.Itoa(times)); err != nil {
					return nil, fmt.Errorf("%s: %w", op, err)
				}
			}
			if rounds[i], err = runCounts(all); err != nil {
				return nil, err
			}
		}
		runs[op] = map[string]float64{}
		for i, l := range all {
			few, many := rounds[1][i]-rounds[0][i], rounds[2][i]-rounds[1][i]
			// A tenth: a stray run of something else is no part of the operation.
			per := math.Round(10*(float64(many)-float64(few))/(manyTimes-fewTimes)) / 10
			if per != 0 {
				runs[op][l.name] = per
			}
		}
	}
	return runs, nil
}

func runCounts(all []loaded) ([]uint64, error) {
	counts := make([]uint64, len(all))
	for i, l := range all {
		s, err := l.prog.Stats()
		if err != nil {
			return nil, err
		}
		counts[i] = s.RunCount
	}
	return counts, nil
}
