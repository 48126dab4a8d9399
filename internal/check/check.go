// Package check finds out whether this machine can run the agent, and says what
// to do where it can't. It changes nothing: what it tries it takes back.
package check

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Status is the verdict on one row.
type Status string

// The verdicts.
const (
	OK   Status = "ok"
	Warn Status = "warn" // works, with something missing
	Fail Status = "fail" // the agent can't do its work
)

// Row is one thing that was looked at.
type Row struct {
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Detail is what was found, Advice what to do about it, if anything.
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
	// Kinds are what an attach mode that works can see.
	Kinds Kinds `json:"kinds,omitempty"`
}

// Err is nil unless the row failed.
func (r Row) Err() error {
	if r.Status != Fail {
		return nil
	}
	if r.Advice == "" {
		return fmt.Errorf("%s: %s", r.Name, r.Detail)
	}
	return fmt.Errorf("%s: %s: %s", r.Name, r.Detail, r.Advice)
}

// Machine is what is looked at. All fields but Mode, Pin, PinDefault, Probe and
// APIServer are needed.
type Machine struct {
	Proc, Sys string // where procfs and sysfs are mounted, "/proc" and "/sys"
	OS, Arch  string // GOOS and GOARCH
	NRISocket string
	StateDir  string
	// FilesDir has the planted files.
	FilesDir string
	// Mode is the attach mode that was chosen; "auto" if empty.
	Mode string
	// Pin is where programs are to stay, empty for nowhere. PinDefault is the
	// place that nobody chose: without a bpffs there, it isn't used.
	Pin, PinDefault string
	// Probe tries every attach mode, in the order in which the sensor does; nil
	// leaves that out.
	Probe func() []Attempt
	// APIServer asks whether workloads can be had; nil leaves that out.
	APIServer func() Row
}

// Report is the outcome of all checks.
type Report struct {
	Status Status `json:"status"` // the worst of the rows
	Rows   []Row  `json:"checks"`
}

// All looks at everything. It takes seconds: the kernel verifies each program.
func (m Machine) All() Report {
	if r := m.Platform(); r.Status == Fail {
		return Report{Status: Fail, Rows: []Row{r}} // there is nothing else to be found
	}
	rows := []Row{m.Platform(), m.Kernel(), m.BTF(), m.lsm(), m.lockdown(), m.Privileges(), m.Namespaces(), m.Pinning()}
	rows = append(rows, m.attach()...)
	rows = append(rows, m.cgroups(), m.audit(), m.NRI(), m.State(), m.Files())
	if m.APIServer != nil {
		rows = append(rows, m.APIServer())
	}
	r := Report{Status: OK, Rows: rows}
	for _, row := range rows {
		if row.Status == Fail || r.Status == OK {
			r.Status = row.Status
		}
	}
	return r
}

// Preflight looks at what has to be right before the agent changes anything. The
// error is that of the first row that failed; warnings are the rows that say
// what will be missing.
func (m Machine) Preflight() (warnings []Row, err error) {
	for _, look := range []func() Row{m.Platform, m.Privileges, m.Namespaces, m.BTF, m.Pinning, m.NRIPresent, m.State, m.Files} {
		row := look()
		if err := row.Err(); err != nil {
			return nil, err
		}
		if row.Status == Warn {
			warnings = append(warnings, row)
		}
	}
	return warnings, nil
}

// WriteJSON writes the report as one indented object.
func (r Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// WriteText writes one line for each row, and below it what an attach mode sees
// and what to do.
func (r Report) WriteText(w io.Writer) error {
	width := 0
	for _, row := range r.Rows {
		width = max(width, len(row.Name))
	}
	var b strings.Builder
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "%-4s  %-*s  %s\n", row.Status, width, row.Name, row.Detail)
		more := row.Kinds.Lines()
		if row.Advice != "" {
			more = append(more, "-> "+row.Advice)
		}
		for _, line := range more {
			fmt.Fprintf(&b, "%-4s  %-*s  %s\n", "", width, "", line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
