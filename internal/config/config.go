// Package config reads the node agent's configuration.
//
// Every key is described once, in keys.go; the parser, the reference
// (docs/configuration.md) and the sample file are all made from that table.
// All mistakes of a file are reported at once, each with its line.
package config

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/policy"
)

// MaxFile is the largest configuration file, in bytes. It is what Kubernetes
// allows a ConfigMap to hold; larger token contents go into files of their own.
const MaxFile = 1 << 20

// MaxTokens is how many tokens a configuration can have. Each one is a bind
// mount in every matched container.
const MaxTokens = 64

// Config is a valid configuration: every rule of the reference holds, every
// default is filled in, every environment reference is expanded.
type Config struct {
	Tokens []beesting.Token
	Match  policy.Match
	// TokenMatch narrows Match for single tokens, by their names.
	TokenMatch map[string]policy.Match
	NodeName   string
	// StateDir is absolute and clean.
	StateDir string
	// FilesDir has the planted files; absolute and clean.
	FilesDir string
	NRI      NRI
	// ControlSocket is absolute and clean.
	ControlSocket string
	HTTP          HTTP
	Sensor        Sensor
	Kubernetes    Kubernetes
	// CommandArgs is "redacted", "full" or "off".
	CommandArgs string
	Journal     Journal
	// Output has at least one of "text", "json" and "otlp", none twice.
	Output []string
	Log    Log
}

// Policy is what Tokens, Match and TokenMatch say together.
func (c Config) Policy() policy.Policy {
	p := policy.Policy{Match: c.Match}
	for _, t := range c.Tokens {
		p.Tokens = append(p.Tokens, policy.Token{Token: t, Match: c.TokenMatch[t.Name]})
	}
	return p
}

// NRI says how to reach the container runtime.
type NRI struct {
	Socket      string // absolute and clean
	PluginName  string
	PluginIndex string // two digits
}

// HTTP says where health and metrics can be asked for.
type HTTP struct {
	Address  string // HOST:PORT; empty for nowhere
	Profiles bool
}

// Journal says how much of what was seen the node keeps.
type Journal struct {
	MaxBytes int // 0 for no journal
	MaxAge   time.Duration
}

// Sensor says how to watch.
type Sensor struct {
	Mode string // "auto", "lsm", "fentry", "kprobe" or "fanotify"
	Tier string // "default" or "recon"
	// Pin is where programs and maps stay when the agent ends: a directory of
	// bpffs, absolute and clean; empty for nowhere.
	Pin        string
	RingBytes  int
	MaxWatches int
	// OpenTimeout is how long the end of an open is waited for.
	OpenTimeout time.Duration
	// RepeatInterval is how often a process that goes on touching is told of.
	RepeatInterval time.Duration
	Exempt         Exempt
}

// Exempt says who may touch tokens.
type Exempt struct {
	Binaries []string // absolute and clean
	Cgroups  []string // directories, absolute and clean
	// Report tells of their touches all the same.
	Report bool
}

// Log is the agent's own log on standard error.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
	OTLP   bool   // sent to where accesses go as well
}

// Environment is what a configuration may depend on besides its file.
type Environment struct {
	// LookupEnv is asked for environment references and NODE_NAME.
	LookupEnv func(name string) (value string, set bool)
	// Hostname names the node where neither the file nor NODE_NAME does.
	Hostname func() (string, error)
}

// Load reads the configuration at path, and the files that it names; relative
// names in it start at path's directory. The error is an *Error when the file
// could be read and is wrong.
func Load(path string, env Environment) (Config, error) {
	c, _, err := LoadSource(path, env)
	return c, err
}

// Parse is Load with the content of the file at hand; path is for error
// messages and for finding other files.
func Parse(path string, data []byte, env Environment) (Config, error) {
	p := &parser{file: path, dir: filepath.Dir(path), env: env}
	c := p.document(data)
	if err := p.err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

// ReadContent reads a token's content from the regular file at path, or from
// one that a link there leads to; at most beesting.MaxTokenContent bytes.
func ReadContent(path string) ([]byte, error) {
	return readBounded(path, beesting.MaxTokenContent)
}

// readBounded reads a regular file, or a link to one: anything else could
// block or never end.
func readBounded(path string, limit int64) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, limit)
	}
	return data, nil
}

// Default is the configuration of a file that leaves everything out: no tokens,
// no node name.
func Default() Config {
	p := &parser{env: Environment{LookupEnv: func(string) (string, bool) { return "", false }}}
	var c Config
	for _, k := range topKeys() {
		if d := k.defaultNode(); d != nil {
			k.set(p, &c, d)
		}
	}
	c.FilesDir = DefaultFilesDir(c.StateDir)
	return c
}

const defaultStateDir = "/var/lib/beesting"

// DefaultFilesDir is where planted files are if nothing else is said: where the
// kubelet lets programs of the node keep data that pods mount, or with the state
// directory where that was chosen.
func DefaultFilesDir(stateDir string) string {
	if stateDir != defaultStateDir {
		return stateDir
	}
	return "/var/lib/kubelet/plugins/kubernetes.io"
}
