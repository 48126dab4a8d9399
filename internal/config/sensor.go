package config

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

func sensorKey() key[Config] {
	keys := append(howKeys(), append(sizeKeys(), exemptKey())...)
	return key[Config]{entry{
		name: "sensor", form: "mapping", sub: entries(keys),
		doc: "The kernel side: how tokens are watched.",
	}, func(p *parser, c *Config, n *yaml.Node) { mapping(p, n, "sensor", keys, &c.Sensor) }}
}

func howKeys() []key[Sensor] {
	return []key[Sensor]{
		{entry{
			name: "mode", form: oneOfText(SensorModes()), def: "auto",
			doc: "How to attach in the kernel. `auto` takes the first that works, in the order of the list. `fanotify` needs no " +
				"eBPF and sees the fewest kinds of access; `beesting check` shows which modes work here and what each one sees.",
		}, func(p *parser, c *Sensor, n *yaml.Node) {
			c.Mode, _ = p.oneOf(n, "sensor.mode", SensorModes())
		}},
		{entry{
			name: "tier", form: oneOfText(SensorTiers()), def: "default",
			doc: "Which kinds of access are looked for. `recon` adds `open_path`, `access`, `readlink` and what the file's " +
				"permissions deny, from hooks that run in nearly every system call with a path; docs/benchmarks.md has the " +
				"price of each tier.",
		}, func(p *parser, c *Sensor, n *yaml.Node) {
			c.Tier, _ = p.oneOf(n, "sensor.tier", SensorTiers())
		}},
		{entry{
			name: "pin", form: `absolute path, or ""`, def: DefaultPin,
			doc: "Directory on bpffs where programs and maps stay attached when the agent ends: tokens stay watched, and the " +
				"next agent tells what was touched meanwhile. `beesting uninstall` removes them. `\"\"` leaves nothing attached. " +
				"Where no bpffs is mounted at the default's place, nothing is pinned. Of one agent at a time.",
		}, func(p *parser, c *Sensor, n *yaml.Node) { c.Pin, _ = read(p, n, "sensor.pin", CleanPin) }},
	}
}

func sizeKeys() []key[Sensor] {
	return []key[Sensor]{
		{entry{
			name: "ringBytes", form: "size", def: "32MiB",
			doc: "Room for events between kernel and agent, rounded up to a power of two; 4KiB to 1GiB. An event takes " +
				"about 3.3 KiB. What finds no room is counted as lost.",
		}, func(p *parser, c *Sensor, n *yaml.Node) {
			c.RingBytes, _ = p.size(n, "sensor.ringBytes", MinRingBytes, MaxRingBytes)
		}},
		{entry{
			name: "maxWatches", form: "whole number", def: "16384",
			doc: "How many files can be watched at a time, 1 to 1048576: tokens times matched containers of the node.",
		}, func(p *parser, c *Sensor, n *yaml.Node) {
			c.MaxWatches, _ = p.integer(n, "sensor.maxWatches", 1, MaxMaxWatches)
		}},
		{entry{
			name: "openTimeout", form: "duration", def: "1m",
			doc: "How long the end of an open is waited for, 1s to 24h: its span has the real duration and the number of reads. " +
				"After that the span goes out without them. The log record never waits.",
		}, func(p *parser, c *Sensor, n *yaml.Node) {
			c.OpenTimeout, _ = p.duration(n, "sensor.openTimeout", MinOpenTimeout, MaxOpenTimeout)
		}},
		{entry{
			name: "repeatInterval", form: "duration", def: "1s",
			doc: "How often an access is told when one process goes on touching one token in one way, 100ms to 1h. The first " +
				"touch is told at once; what comes in between is counted.",
		}, func(p *parser, c *Sensor, n *yaml.Node) {
			c.RepeatInterval, _ = p.duration(n, "sensor.repeatInterval", MinRepeatInterval, MaxRepeatInterval)
		}},
	}
}

func exemptKey() key[Sensor] {
	keys := []key[Exempt]{
		{entry{
			name: "binaries", form: "list of absolute paths", hint: "[/usr/bin/restic]",
			doc: "Programs of the host whose touches are no accesses, at most 64. Each is recognised in the kernel by the " +
				"program file's inode, not by its name: a copy of it elsewhere isn't exempt. Use `cgroups` for a " +
				"script: its interpreter, named here, would exempt every script.",
		}, func(p *parser, c *Exempt, n *yaml.Node) {
			c.Binaries = p.exemptPaths(n, "sensor.exempt.binaries", CleanAbsolute)
		}},
		{entry{
			name: "cgroups", form: "list of absolute paths", hint: "[/system.slice/backup.service]",
			doc: "Cgroups (v2) whose processes' touches are no accesses, at most 64, by their paths as in `/proc/PID/cgroup`. " +
				"A cgroup below one of them is another cgroup. They are looked for every minute, as the binaries are: one that " +
				"is made later is exempt from then on.",
		}, func(p *parser, c *Exempt, n *yaml.Node) {
			c.Cgroups = p.exemptPaths(n, "sensor.exempt.cgroups", CleanCgroup)
		}},
		{entry{
			name: "report", form: "true or false", def: "false",
			doc: "Whether touches of exempt processes are told as accesses all the same, with the actor class `allowed`; " +
				"otherwise they are only counted.",
		}, func(p *parser, c *Exempt, n *yaml.Node) { c.Report = p.boolean(n, "sensor.exempt.report") }},
	}
	return key[Sensor]{entry{
		name: "exempt", form: "mapping", sub: entries(keys),
		doc: "Who may touch tokens, a backup for one.",
	}, func(p *parser, c *Sensor, n *yaml.Node) { mapping(p, n, "sensor.exempt", keys, &c.Exempt) }}
}

// exemptPaths reads up to MaxExempt absolute paths, none twice.
func (p *parser) exemptPaths(n *yaml.Node, what string, rule func(string) (string, error)) []string {
	var out []string
	seen := map[string]int{}
	p.list(n, what, func(i int, n *yaml.Node) {
		if i >= MaxExempt { // one mistake, below
			return
		}
		s, ok := read(p, n, what, rule)
		if !ok {
			return
		}
		if first, dup := seen[s]; dup {
			p.fail(n, "%s: %q is already listed in line %d", what, clip(s), first)
			return
		}
		seen[s] = n.Line
		out = append(out, s)
	})
	if err := CheckExemptCount(len(n.Content)); err != nil && n.Kind == yaml.SequenceNode {
		p.fail(n, "%s: %v", what, err)
	}
	return out
}

// CheckExemptCount holds for how long a list of exempt paths can be.
func CheckExemptCount(n int) error {
	if n > MaxExempt {
		return fmt.Errorf("%d of them, at most %d are allowed", n, MaxExempt)
	}
	return nil
}

// oneOfText is how the reference lists allowed values.
func oneOfText(words []string) string {
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
