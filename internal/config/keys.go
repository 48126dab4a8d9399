package config

import (
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v4"
)

func topKeys() []key[Config] {
	return []key[Config]{
		tokensKey(), matchKey(), nodeNameKey(), stateDirKey(), filesDirKey(), nriKey(), controlKey(), httpKey(),
		sensorKey(), kubernetesKey(), commandArgsKey(), journalKey(), outputKey(), logKey(),
	}
}

func nodeNameKey() key[Config] {
	return key[Config]{entry{
		name: "nodeName", form: "text", hint: "${env:NODE_NAME}",
		doc: "The node's name in telemetry (`k8s.node.name`). Left out, it is the environment variable " +
			"NODE_NAME, which a DaemonSet sets from `spec.nodeName`, and without that the host name.",
	}, func(p *parser, c *Config, n *yaml.Node) {
		c.NodeName, _ = read(p, n, "nodeName", func(s string) (string, error) { return s, CheckNodeName(s) })
	}}
}

func stateDirKey() key[Config] {
	return key[Config]{entry{
		name: "stateDir", form: "absolute path", def: defaultStateDir,
		doc: "Directory for records and keys, which have to outlive the agent; made with mode 0700 if " +
			"it is missing. It must survive a reboot and be the same path for agent and container runtime. Not on tmpfs.",
	}, func(p *parser, c *Config, n *yaml.Node) {
		c.StateDir, _ = read(p, n, "stateDir", CleanStateDir)
	}}
}

func filesDirKey() key[Config] {
	return key[Config]{entry{
		name: "filesDir", form: "absolute path", hint: "/var/lib/kubelet/plugins/kubernetes.io",
		doc: "Directory for the planted files, which are in `pods` in it. They are bind-mounted into containers, which can read " +
			"this path in their list of mounts: docs/planting.md says how to choose it. It must survive a reboot and be the same path " +
			"for agent and container runtime. Left out, it is " +
			"`/var/lib/kubelet/plugins/kubernetes.io`, or the state directory where `stateDir` is not the default.",
	}, func(p *parser, c *Config, n *yaml.Node) {
		c.FilesDir, _ = read(p, n, "filesDir", CleanStateDir)
	}}
}

func nriKey() key[Config] {
	keys := []key[NRI]{
		{entry{
			name: "socket", form: "absolute path", def: "/var/run/nri/nri.sock",
			doc: "The runtime's NRI socket. containerd 2 and CRI-O have NRI switched on by default, containerd 1.7 needs " +
				"`disable = false` under `[plugins.\"io.containerd.nri.v1.nri\"]`.",
		}, func(p *parser, c *NRI, n *yaml.Node) { c.Socket, _ = read(p, n, "nri.socket", CleanSocket) }},
		{entry{
			name: "pluginName", form: "text", def: "beesting",
			doc: "Name to register under: 1 to 63 of a-z, 0-9 and \"-\". Two agents with one name on one node get in " +
				"each other's way; the runtime does not prevent it.",
		}, func(p *parser, c *NRI, n *yaml.Node) { c.PluginName, _ = p.name(n, "nri.pluginName") }},
		{entry{
			name: "pluginIndex", form: "two digits", def: `"90"`,
			doc: "Place among the plugins, \"00\" to \"99\"; the runtime asks them in this order.",
		}, func(p *parser, c *NRI, n *yaml.Node) {
			c.PluginIndex, _ = read(p, n, "nri.pluginIndex", func(s string) (string, error) { return s, CheckPluginIndex(s) })
		}},
	}
	return key[Config]{entry{
		name: "nri", form: "mapping", sub: entries(keys),
		doc: "How the agent reaches the container runtime (Node Resource Interface).",
	}, func(p *parser, c *Config, n *yaml.Node) { mapping(p, n, "nri", keys, &c.NRI) }}
}

func controlKey() key[Config] {
	return key[Config]{entry{
		name: "controlSocket", form: "absolute path", def: "/run/beesting/control.sock",
		doc: "Unix socket on which the agent answers `beesting status`, for root only. Its directory is made with mode " +
			"0700 if it is missing.",
	}, func(p *parser, c *Config, n *yaml.Node) {
		c.ControlSocket, _ = read(p, n, "controlSocket", CleanSocket)
	}}
}

func httpKey() key[Config] {
	keys := []key[HTTP]{
		{entry{
			name: "address", form: "HOST:PORT", hint: "127.0.0.1:9464",
			doc: "Where the agent listens over TCP; left out, nowhere. Whoever can reach it learns from the metrics which tokens " +
				"there are: with a loopback address that is every process of the host, and every pod in the host's network. An " +
				"address that another process has is tried again every half minute; the log says so.",
		}, func(p *parser, c *HTTP, n *yaml.Node) {
			c.Address, _ = read(p, n, "http.address", func(s string) (string, error) { return s, CheckAddress(s) })
		}},
		{entry{
			name: "profiles", form: "true or false", def: "false",
			doc: "Serve Go's profiles there too, below `/debug/pprof/`, for finding out what the agent spends time and memory on.",
		}, func(p *parser, c *HTTP, n *yaml.Node) { c.Profiles = p.boolean(n, "http.profiles") }},
	}
	return key[Config]{entry{
		name: "http", form: "mapping", sub: entries(keys),
		doc: "What is asked over HTTP: `/healthz` (the agent answers), `/readyz` (it is registered with the runtime and has " +
			"looked at all containers, or why not), `/metrics` (those of docs/telemetry.md for Prometheus). The control socket " +
			"answers them in any case, for root.",
	}, func(p *parser, c *Config, n *yaml.Node) { mapping(p, n, "http", keys, &c.HTTP) }}
}

func commandArgsKey() key[Config] {
	return key[Config]{entry{
		name: "commandArgs", form: "redacted, full or off", def: "redacted",
		doc: "What telemetry says of the acting process's arguments (`process.command_args`): with the values of known " +
			"secret flags and KEY=value forms blacked out, in full, or not at all.",
	}, func(p *parser, c *Config, n *yaml.Node) {
		c.CommandArgs, _ = p.oneOf(n, "commandArgs", CommandArgs())
	}}
}

func journalKey() key[Config] {
	keys := []key[Journal]{
		{entry{
			name: "maxBytes", form: "whole number", def: strconv.Itoa(defaultJournalBytes),
			doc: "How large it may get, 4194304 to 1099511627776 (4 MiB to 1 TiB); 0 for none. Beyond that the oldest accesses go, " +
				"those that were not delivered too, which is counted. An access takes about 1 KiB, an open that ends twice that.",
		}, func(p *parser, c *Journal, n *yaml.Node) {
			if v, ok := p.integer(n, "journal.maxBytes", 0, MaxJournalBytes); ok {
				if err := CheckJournalBytes(v); err != nil {
					p.fail(n, "journal.maxBytes: %v", err)
				}
				c.MaxBytes = v
			}
		}},
		{entry{
			name: "maxAge", form: "duration", def: "168h",
			doc: "How long an access is kept, delivered or not, 1h to 8760h.",
		}, func(p *parser, c *Journal, n *yaml.Node) {
			c.MaxAge, _ = p.duration(n, "journal.maxAge", MinJournalAge, MaxJournalAge)
		}},
	}
	return key[Config]{entry{
		name: "journal", form: "mapping", sub: entries(keys),
		doc: "Accesses are kept in `journal` in the state directory until the back end has accepted them, over any outage and " +
			"restart, and for a while after: `beesting accesses` shows them. Without it they wait in memory.",
	}, func(p *parser, c *Config, n *yaml.Node) { mapping(p, n, "journal", keys, &c.Journal) }}
}

func outputKey() key[Config] {
	return key[Config]{entry{
		name: "output", form: "list of text, json, otlp", def: "[otlp]",
		doc: "Where accesses go: `otlp` to an OpenTelemetry back end, which the standard OTEL_* environment variables " +
			"name; `json` (one object a line) or `text` (for people) to standard output, only one of these two.",
	}, (*parser).output}
}

func (p *parser) output(c *Config, n *yaml.Node) {
	seen := map[string]int{}
	p.texts(n, "output", func(n *yaml.Node, _ string) {
		s, ok := p.oneOf(n, "output", []string{"text", "json", "otlp"})
		if !ok {
			return
		}
		if first, dup := seen[s]; dup {
			p.fail(n, "output: %q is already listed in line %d", s, first)
			return
		}
		seen[s] = n.Line
		c.Output = append(c.Output, s)
	})
	if seen["text"] > 0 && seen["json"] > 0 {
		p.fail(n, "output: text and json both go to standard output: choose one")
	}
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		p.fail(n, "output: the list is empty: nobody would learn of an access")
	}
}

func logKey() key[Config] {
	keys := []key[Log]{
		{entry{
			name: "level", form: "debug, info, warn or error", def: "info",
			doc: "Least severity that is written.",
		}, func(p *parser, c *Log, n *yaml.Node) {
			if s, ok := p.oneOf(n, "log.level", []string{"debug", "info", "warn", "error"}); ok {
				_ = c.Level.UnmarshalText([]byte(s)) // each of the four is a slog level
			}
		}},
		{entry{
			name: "format", form: "text or json", def: "text",
			doc: "Form of a line.",
		}, func(p *parser, c *Log, n *yaml.Node) {
			c.Format, _ = p.oneOf(n, "log.format", []string{"text", "json"})
		}},
		{entry{
			name: "otlp", form: "boolean", def: "false",
			doc: "Send it to the OTLP end point as well, with the same `OTEL_*` variables as accesses. What can't be sent at once is on standard error only.",
		}, func(p *parser, c *Log, n *yaml.Node) { c.OTLP = p.boolean(n, "log.otlp") }},
	}
	return key[Config]{entry{
		name: "log", form: "mapping", sub: entries(keys),
		doc: "The agent's own log, on standard error.",
	}, func(p *parser, c *Config, n *yaml.Node) { mapping(p, n, "log", keys, &c.Log) }}
}

// NodeName names the node where the configuration doesn't: the only default
// that isn't a constant.
func (e Environment) NodeName() (string, error) {
	if s, set := e.LookupEnv("NODE_NAME"); set && s != "" {
		if !isNodeName(s) {
			return "", fmt.Errorf("environment variable NODE_NAME holds %q, which %s", clip(s), notNodeName)
		}
		return s, nil
	}
	s, err := e.Hostname()
	if err != nil {
		return "", fmt.Errorf("not given, and the host name can't be had: %w", err)
	}
	return s, nil
}
