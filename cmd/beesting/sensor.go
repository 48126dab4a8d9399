package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
)

// sensorOptions are the kernel side's part of a configuration. pin is where
// programs can stay, which depends on the machine.
func sensorOptions(s config.Sensor, pin string) agent.SensorOptions {
	return agent.SensorOptions{
		Mode: s.Mode, Tier: s.Tier, Pin: pin, RingBytes: s.RingBytes, MaxWatches: s.MaxWatches,
		RepeatInterval: s.RepeatInterval, ReportExempt: s.Exempt.Report,
	}
}

// started is how an open sensor watches, for the log.
func started(sensor agent.Sensor, o agent.SensorOptions, refused []agent.ModeAttempt) check.Start {
	s := check.Start{Asked: o.Mode, Mode: string(sensor.Mode()), Tier: string(sensor.Tier()), Kinds: kindsOf(agent.CoverageBy(sensor))}
	if agent.IsPinned(sensor) {
		s.Pin = o.Pin
	} else {
		s.PinRefused = o.Pin
	}
	for _, a := range refused {
		s.Refused = append(s.Refused, attemptOf(a))
	}
	return s
}

func attemptOf(a agent.ModeAttempt) check.Attempt {
	return check.Attempt{Mode: a.Mode, Err: a.Err, Note: a.Note, Kinds: kindsOf(a.Kinds)}
}

func kindsOf(all []agent.KindSupport) check.Kinds {
	kinds := make(check.Kinds, len(all))
	for i, k := range all {
		kinds[i] = check.Kind(k)
	}
	return kinds
}

// exemptBinaries makes absolute paths of those on a command line, and refuses
// what can't be a program.
func exemptBinaries(names []string) ([]string, error) {
	var out []string
	var errs fileErrors
	for _, name := range names {
		path, err := filepath.Abs(name)
		if err == nil {
			var st os.FileInfo
			st, err = os.Stat(path)
			if err == nil && !st.Mode().IsRegular() {
				err = errors.New("not a program")
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--exempt-binary %s: %w", name, reason(err)))
			continue
		}
		out = append(out, path)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return out, nil
}
