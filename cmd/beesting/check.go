package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/beesting-otel/beesting/internal/agent"
	"github.com/beesting-otel/beesting/internal/check"
	"github.com/beesting-otel/beesting/internal/config"
)

func (a *app) check() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find out whether this machine can run the agent, and what to do if not",
		Long: `Find out whether this machine can run the agent: kernel, BTF, LSM list,
lockdown, privileges, pinning, each attach mode really tried, cgroups, audit, NRI
socket, state directory, API server. Every row that isn't "ok" says what to do. An attach
mode that works lists the kinds of access that it sees, and those that it can't
see with the reason.

Only "beesting agent" needs the NRI socket and the state directory; "beesting
watch" does without.

Exit code 0 when no row fails, 1 when one does.`,
		Example: `  sudo beesting check
  sudo beesting check --config /etc/beesting/beesting.yaml

  # Which kinds of access does the recon tier see, by attach mode?
  sudo beesting check --tier recon
  sudo beesting check --json | jq '.checks[] | select(.kinds) | {name, kinds}'

  sudo beesting check --json | jq -r '.checks[] | select(.status == "fail") | .name'`,
		Args: noArgs,
	}
	asJSON := jsonFlag(cmd)
	file := cmd.Flags().String("config", "", "take sockets, directories and sizes from this configuration `FILE`")
	tier := choiceFlag(cmd, "tier", "look at this tier, instead of the configuration's", config.SensorTiers()...)
	proc := cmd.Flags().String("proc", "/proc", "where the host's procfs is mounted")
	sys := cmd.Flags().String("sys", "/sys", "where the host's sysfs is mounted")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := a.loadOrDefault(*file)
		if err != nil {
			return err
		}
		if cmd.Flags().Changed("tier") {
			c.Sensor.Tier = tier.value
		}
		m := a.machine(c, *proc, *sys)
		m.Probe = func() []check.Attempt { return attempts(c.Sensor) }
		m.APIServer = func() check.Row { return a.apiServerRow(cmd.Context(), c) }
		r := m.All()
		if *asJSON {
			err = r.WriteJSON(a.stdout)
		} else {
			err = r.WriteText(a.stdout)
		}
		if err == nil && r.Status == check.Fail {
			err = codeError(exitFailure)
		}
		return err
	}
	return cmd
}

func (a *app) machine(c config.Config, proc, sys string) check.Machine {
	return check.Machine{
		Proc: proc, Sys: sys, OS: runtime.GOOS, Arch: runtime.GOARCH,
		NRISocket: c.NRI.Socket, StateDir: c.StateDir, FilesDir: c.FilesDir,
		Mode: c.Sensor.Mode, Pin: c.Sensor.Pin, PinDefault: config.DefaultPin,
	}
}

// loadOrDefault reads the configuration, or gives the example's without one:
// apart from its token that is the defaults.
func (a *app) loadOrDefault(path string) (config.Config, error) {
	if path != "" {
		return a.load(path)
	}
	return config.Default(), nil
}

func attempts(s config.Sensor) []check.Attempt {
	var out []check.Attempt
	for _, a := range agent.ProbeSensor(sensorOptions(s, "")) {
		out = append(out, attemptOf(a))
	}
	return out
}
