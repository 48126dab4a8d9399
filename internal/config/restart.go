package config

import "reflect"

// restartRows are the keys that an agent reads when it starts: what it holds open,
// and what decides how it was set up. The others can change while it runs.
var restartRows = []struct {
	key string
	of  func(Config) any
}{
	{"nodeName", func(c Config) any { return c.NodeName }},
	{"stateDir", func(c Config) any { return c.StateDir }},
	{"filesDir", func(c Config) any { return c.FilesDir }},
	{"nri.socket", func(c Config) any { return c.NRI.Socket }},
	{"nri.pluginName", func(c Config) any { return c.NRI.PluginName }},
	{"nri.pluginIndex", func(c Config) any { return c.NRI.PluginIndex }},
	{"controlSocket", func(c Config) any { return c.ControlSocket }},
	{"http.address", func(c Config) any { return c.HTTP.Address }},
	{"http.profiles", func(c Config) any { return c.HTTP.Profiles }},
	{"sensor.mode", func(c Config) any { return c.Sensor.Mode }},
	{"sensor.tier", func(c Config) any { return c.Sensor.Tier }},
	{"sensor.pin", func(c Config) any { return c.Sensor.Pin }},
	{"sensor.ringBytes", func(c Config) any { return c.Sensor.RingBytes }},
	{"sensor.maxWatches", func(c Config) any { return c.Sensor.MaxWatches }},
	{"sensor.openTimeout", func(c Config) any { return c.Sensor.OpenTimeout }},
	{"sensor.repeatInterval", func(c Config) any { return c.Sensor.RepeatInterval }},
	{"sensor.exempt.binaries", func(c Config) any { return c.Sensor.Exempt.Binaries }},
	{"sensor.exempt.cgroups", func(c Config) any { return c.Sensor.Exempt.Cgroups }},
	{"sensor.exempt.report", func(c Config) any { return c.Sensor.Exempt.Report }},
	{"kubernetes.enabled", func(c Config) any { return c.Kubernetes.Enabled }},
	{"kubernetes.kubeconfig", func(c Config) any { return c.Kubernetes.Kubeconfig }},
	{"kubernetes.labels", func(c Config) any { return c.Kubernetes.Labels }},
	{"kubernetes.annotations", func(c Config) any { return c.Kubernetes.Annotations }},
	{"kubernetes.waitForPod", func(c Config) any { return c.Kubernetes.WaitForPod }},
	{"journal.maxBytes", func(c Config) any { return c.Journal.MaxBytes }},
	{"journal.maxAge", func(c Config) any { return c.Journal.MaxAge }},
	{"commandArgs", func(c Config) any { return c.CommandArgs }},
	{"output", func(c Config) any { return c.Output }},
	{"log.format", func(c Config) any { return c.Log.Format }},
	{"log.otlp", func(c Config) any { return c.Log.OTLP }},
}

// NeedRestart lists the keys in which next differs from the configuration that an
// agent was started with, and that it can't change while it runs, in the order of
// the reference. Tokens, match and log.level are never among them.
func NeedRestart(started, next Config) []string {
	var keys []string
	for _, row := range restartRows {
		if !reflect.DeepEqual(row.of(started), row.of(next)) {
			keys = append(keys, row.key)
		}
	}
	return keys
}
