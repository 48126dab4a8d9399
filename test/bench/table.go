package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/beesting-otel/beesting/test/bench/internal/figure"
)

// row is a line of the table.
type row struct {
	way, label string
	// counts are the numbers of watched inodes; one zero where the way knows no
	// number.
	counts []int
	// programs says that the way has eBPF programs, which have to be seen running.
	programs bool
}

func rowsOf(mode string) []row {
	all := figure.Counts[:]
	rows := []row{{figure.EmptyLSM, "empty BPF LSM programs (the floor for BPF)", []int{0}, true}}
	for _, m := range []string{"lsm", "fentry", "kprobe"} {
		label := "beesting, " + m
		if m == mode {
			label += " (default)"
		}
		rows = append(rows, row{figure.SensorPrefix + m, label, all, true})
	}
	return append(rows,
		row{figure.TokenOpen, "beesting, lsm, while a token is open", []int{1}, true},
		row{figure.Recon, "beesting, lsm, tier recon", all, true},
		row{figure.ByNumber, "the first PoC's kprobe on security_file_open, hash", all, true},
		row{figure.ByPermission, "kprobe on inode_permission, hash (Kive's way)", all, true},
		row{figure.Audit, "auditctl -w on a sibling", []int{1}, false},
		row{figure.Fanotify, "fanotify mark on a sibling", []int{1}, false},
	)
}

// header names the columns.
func header() []string {
	return []string{"", "open+close", "stat", "1-byte read", "mmap+munmap", "exec", "exec's share", "a process, whole"}
}

// cells are the row's figures under the header.
func (r report) cells(row row) []string {
	out := []string{row.label}
	for _, op := range figure.Ops {
		out = append(out, cell(row.counts, func(n int) (int, bool) { return r.added(row.way, n, op), true }))
		if op == figure.Exec {
			out = append(out, r.shareCell(row))
		}
	}
	return out
}

// shareCell is an exec's share. Where no program belongs to an exec the share is
// none, and what was measured shows how good the measure is.
func (r report) shareCell(row row) string {
	text := cell(row.counts, func(n int) (int, bool) { return r.share(row.way, n) })
	if r.noneOwn(row.way) {
		return fmt.Sprintf("0 by construction (measured %s)", text)
	}
	return text
}

// cell has the figures for 1, 1,000 and 100,000 watched inodes, or one where
// they are the same.
func cell(counts []int, value func(n int) (int, bool)) string {
	var texts []string
	least, most := 0, 0
	for i, n := range counts {
		v, ok := value(n)
		if !ok {
			return "–"
		}
		if i == 0 || v < least {
			least = v
		}
		if i == 0 || v > most {
			most = v
		}
		texts = append(texts, fmt.Sprintf("%+d", v))
	}
	if most-least <= 1 {
		return fmt.Sprintf("%+d", most)
	}
	return strings.Join(texts, " / ")
}

// bareCells are what the operations take when nothing watches.
func (r report) bareCells() []string {
	out := []string{"nothing watches: all of it"}
	for _, op := range figure.Ops {
		out = append(out, fmt.Sprintf("%.0f", r.bare[figure.BootWatchers][op]))
		if op == figure.Exec {
			out = append(out, "–")
		}
	}
	return out
}

// spreadCells are by how much the children that measured the same differed.
func (r report) spreadCells() []string {
	out := []string{"spread of the children, at most"}
	for _, op := range figure.Ops {
		out = append(out, fmt.Sprintf("%.0f", r.spread[op]))
		if op == figure.Exec {
			out = append(out, "")
		}
	}
	return out
}

// targetCells are the targets, and whether they are kept.
func (r report) targetCells() []string {
	out := []string{"target for the default tier"}
	judge := func(op string) string {
		most, ok := limit(op)
		if !ok {
			return ""
		}
		state := "kept"
		for _, n := range figure.Counts {
			if r.judged(op, n) > most {
				state = "MISSED"
			}
		}
		return fmt.Sprintf("≤ %d: %s", most, state)
	}
	for _, op := range figure.Ops {
		if op == figure.Exec {
			out = append(out, "") // the target is its share's
		}
		out = append(out, judge(op))
	}
	return out
}

// table is every line after the header.
func (r report) table() [][]string {
	lines := [][]string{r.bareCells()}
	for _, row := range rowsOf(r.mode) {
		lines = append(lines, r.cells(row))
		if row.way == figure.SensorPrefix+r.mode && r.selector == targetKernel {
			lines = append(lines, r.targetCells())
		}
	}
	return append(lines, r.spreadCells())
}

// text is the report for a terminal.
func (r report) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s: instructions added to operations on files that are not watched\n", r.kernel.Release)
	b.WriteString("(with 1 / 1,000 / 100,000 watched inodes, or one figure where they are the same)\n\n")
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, line := range append([][]string{header()}, r.table()...) {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	w.Flush()
	fmt.Fprintf(&b, "\n%s\n\nMemory for 10,000 watched inodes:\n", r.execText())
	w = tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, line := range append([][]string{memoryHeader()}, memoryTable(r.memory)...) {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	w.Flush()
	return b.String()
}

// execText says what an exec is made of for the default mode.
func (r report) execText() string {
	ops, own := r.contained(figure.SensorPrefix + r.mode)
	parts := func(m map[string]float64) string {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(m)) {
			all = append(all, fmt.Sprintf("%.3g × %s", m[name], name))
		}
		if len(all) == 0 {
			return "nothing"
		}
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("To the default mode's programs one exec is %s, and of its own: %s.", parts(ops), parts(own))
}

// markdownOf is the reports as sections of a document.
func markdownOf(reports []report) string {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "%s%s\n\nDebian `%s` (%s), measured on %s.\n\n", section, series(r.kernel.Release),
			r.kernel.Release, r.kernel.Version, r.date)
		markdownTable(&b, header(), r.table())
		fmt.Fprintf(&b, "\n%s\n\n", r.execText())
		markdownTable(&b, memoryHeader(), memoryTable(r.memory))
		b.WriteString("\n")
	}
	return b.String()
}

func markdownTable(b *strings.Builder, header []string, lines [][]string) {
	fmt.Fprintf(b, "| %s |\n|---|%s\n", strings.Join(header, " | "), strings.Repeat("--:|", len(header)-1))
	for _, line := range lines {
		fmt.Fprintf(b, "| %s |\n", strings.Join(line, " | "))
	}
}

// series is the first two numbers of a kernel release.
func series(release string) string {
	parts := strings.SplitN(release, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

func memoryHeader() []string {
	return []string{"mode", "maps, before any watch", "maps", "kernel objects", "agent's RSS", "all memory in use", "open files"}
}

// memoryTable has a line for each mode. What grew with the watches has a sign.
func memoryTable(memory []figure.Memory) [][]string {
	mib := func(sign string, n uint64) string { return fmt.Sprintf("%s%.1f MiB", sign, float64(n)/(1<<20)) }
	var lines [][]string
	for _, m := range memory {
		lines = append(lines, []string{
			m.Mode, mib("", m.MapsEmpty), mib("", m.Maps), mib("+", m.Slab), mib("+", m.RSS), mib("+", m.Used),
			fmt.Sprintf("%+d", m.Descriptors),
		})
	}
	return lines
}
