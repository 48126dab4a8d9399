package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/policy"
)

// What a value has to be, apart from where it was read: the agent's parser and
// the Collector's receiver both ask here. An error quotes the value, shortened,
// and says what is wrong; the caller puts the key before it. None of these
// functions touches the system.

// The limits are those of package bpf, which checks them again.
const (
	MinRingBytes  = 4 << 10
	MaxRingBytes  = 1 << 30
	MaxMaxWatches = 1 << 20
)

// The ranges of sensor.repeatInterval and sensor.openTimeout.
const (
	MinRepeatInterval = 100 * time.Millisecond
	MaxRepeatInterval = time.Hour
	MinOpenTimeout    = time.Second
	MaxOpenTimeout    = 24 * time.Hour
)

// The bounds of journal; 0 bytes are no journal.
const (
	defaultJournalBytes = 256 << 20
	MinJournalBytes     = 4 << 20
	MaxJournalBytes     = 1 << 40
	MinJournalAge       = time.Hour
	MaxJournalAge       = 365 * 24 * time.Hour
)

// MaxExempt bounds how many binaries and cgroups can be exempt, each.
const MaxExempt = 64

// DefaultPin is where sensor.pin points if it isn't given. Unlike another place,
// it need not be there.
const DefaultPin = "/sys/fs/bpf/beesting"

// maxSocket is the room in sockaddr_un.sun_path (unix(7)) without the NUL.
const maxSocket = 107

// SensorModes are the values of sensor.mode.
func SensorModes() []string { return []string{"auto", "lsm", "fentry", "kprobe", "fanotify"} }

// SensorTiers are the values of sensor.tier.
func SensorTiers() []string { return []string{"default", "recon"} }

// TokenStrategies are the values of a token's strategy.
func TokenStrategies() []string {
	var all []string
	for _, s := range beesting.Strategies() {
		all = append(all, string(s))
	}
	return all
}

// Strategy is one of TokenStrategies as a token has it: nothing for the default.
func Strategy(s string) beesting.Strategy {
	if s == string(beesting.StrategyAuto) {
		return ""
	}
	return beesting.Strategy(s)
}

// CommandArgs are the values of commandArgs.
func CommandArgs() []string { return []string{"redacted", "full", "off"} }

// CheckText refuses what no value may hold.
func CheckText(s string) error {
	if strings.ContainsRune(s, 0) {
		return errors.New("must not hold a NUL byte")
	}
	return nil
}

// CheckOneOf refuses what is not among the allowed values.
func CheckOneOf(s string, allowed []string) error {
	if slices.Contains(allowed, s) {
		return nil
	}
	hint := ""
	if near := suggest(s, allowed); near != "" {
		hint = ": did you mean " + strconv.Quote(near) + "?"
	}
	return fmt.Errorf("%q is not one of %s%s", clip(s), strings.Join(allowed, ", "), hint)
}

// ParseInteger reads a decimal number from least to most.
func ParseInteger(s string, least, most int) (int, error) {
	v, err := strconv.Atoi(s)
	if err != nil || v < least || v > most {
		return 0, fmt.Errorf("%q is not a whole number from %d to %d", clip(s), least, most)
	}
	return v, nil
}

// ParseDuration reads a length of time with its unit, from least to most.
func ParseDuration(s string, least, most time.Duration) (time.Duration, error) {
	v, err := time.ParseDuration(s)
	if err != nil || v < least || v > most {
		return 0, fmt.Errorf("%q is not a duration from %s to %s (a number with its unit, as in 500ms, 30s or 1h)",
			clip(s), DurationText(least), DurationText(most))
	}
	return v, nil
}

// DurationText is the shortest way to write d for [ParseDuration].
func DurationText(d time.Duration) string {
	s := d.String()
	if short, found := strings.CutSuffix(s, "m0s"); found {
		s = short + "m"
	}
	if short, found := strings.CutSuffix(s, "h0m"); found {
		s = short + "h"
	}
	return s
}

// ParseBool reads a truth value as YAML's core schema writes it.
func ParseBool(s string) (bool, error) {
	switch s {
	case "true", "false":
		return s == "true", nil
	}
	return false, fmt.Errorf("%q is neither true nor false", clip(s))
}

// ParseSize reads a number of bytes, with KiB, MiB or GiB behind it or not,
// from least to most bytes.
func ParseSize(s string, least, most int) (int, error) {
	number, shift := s, 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if rest, found := strings.CutSuffix(s, unit); found {
			number, shift = strings.TrimSpace(rest), 10*(i+1)
		}
	}
	v, err := strconv.Atoi(number)
	if err != nil || v < 0 || v > most>>shift || v<<shift < least {
		return 0, fmt.Errorf(`%q is not a size from %s to %s (a number of bytes, or one with KiB, MiB or GiB)`,
			clip(s), SizeText(least), SizeText(most))
	}
	return v << shift, nil
}

// SizeText is the shortest way to write n bytes for [ParseSize].
func SizeText(n int) string {
	for i, unit := range []string{"GiB", "MiB", "KiB"} {
		if shift := 30 - 10*i; n >= 1<<shift && n%(1<<shift) == 0 {
			return strconv.Itoa(n>>shift) + unit
		}
	}
	return strconv.Itoa(n)
}

// ParseMode reads permission bits. A leading zero is asked for, because 644
// could be meant as a decimal number, which Kubernetes takes in the same place.
func ParseMode(s string) (fs.FileMode, error) {
	v, err := strconv.ParseUint(strings.Replace(s, "0o", "0", 1), 8, 32)
	if err != nil || !strings.HasPrefix(s, "0") || v > 0o777 {
		return 0, fmt.Errorf(`%q is not octal permission bits with a leading zero, like "0600"`, clip(s))
	}
	return fs.FileMode(v), nil
}

// CleanAbsolute takes an absolute path, and gives it in its shortest form. It is
// one of Linux wherever the configuration is checked.
func CleanAbsolute(s string) (string, error) {
	if !path.IsAbs(s) {
		return "", fmt.Errorf("%q is not an absolute path", clip(s))
	}
	return path.Clean(s), nil
}

// CleanSocket is [CleanAbsolute] for the path of a unix socket.
func CleanSocket(s string) (string, error) {
	s, err := CleanAbsolute(s)
	if err == nil && len(s) > maxSocket {
		err = fmt.Errorf("%q is longer than the %d bytes that a unix socket's path can have", clip(s), maxSocket)
	}
	return s, err
}

// CheckJournalBytes accepts 0 and what there is room for an access in.
func CheckJournalBytes(n int) error {
	if n != 0 && (n < MinJournalBytes || n > MaxJournalBytes) {
		return fmt.Errorf("%d must be 0, for no journal, or %d to %d", n, MinJournalBytes, MaxJournalBytes)
	}
	return nil
}

// CheckAddress accepts HOST:PORT, and nothing for no server. The host has to be
// given: to be reached from everywhere is not to be had by leaving it out.
func CheckAddress(s string) error {
	if s == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q must be HOST:PORT, such as 127.0.0.1:9464, or empty for none", clip(s))
	}
	if host == "" {
		return fmt.Errorf("%q names no host: 127.0.0.1 is this machine alone, 0.0.0.0 is all of its addresses", clip(s))
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%q: no such port", clip(s))
	}
	return nil
}

// CleanPin is [CleanAbsolute] for sensor.pin; the empty text means nowhere.
func CleanPin(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	s, err := CleanAbsolute(s)
	if err == nil && s == "/" {
		err = errors.New("must not be the root directory")
	}
	return s, err
}

// CleanCgroup is [CleanAbsolute] for a cgroup's path, as in /proc/PID/cgroup. The
// root would be everybody.
func CleanCgroup(s string) (string, error) {
	s, err := CleanAbsolute(s)
	switch {
	case err != nil:
	case s == "/":
		err = errors.New("must not be the root: every process is in it")
	case s == cgroupMount || strings.HasPrefix(s, cgroupMount+"/"):
		err = fmt.Errorf("%q has to be a path as in /proc/PID/cgroup: leave out %s", clip(s), cgroupMount)
	}
	return s, err
}

// cgroupMount is where cgroups are mounted, by convention (cgroups(7)).
const cgroupMount = "/sys/fs/cgroup"

// CleanStateDir is [CleanAbsolute] for stateDir and filesDir.
func CleanStateDir(s string) (string, error) {
	s, err := CleanAbsolute(s)
	if err == nil && s == "/" {
		err = errors.New("must not be the root directory")
	}
	return s, err
}

// notNodeName is said of what isNodeName refuses.
const notNodeName = "is not a name of 1 to 253 printable characters without spaces"

// CheckNodeName holds for what can be the name of a Kubernetes node and of a
// host.
func CheckNodeName(s string) error {
	if !isNodeName(s) {
		return fmt.Errorf("%q %s", clip(s), notNodeName)
	}
	return nil
}

func isNodeName(s string) bool {
	return s != "" && len(s) <= 253 && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// CheckName holds for what has the form of a token's name; the rule is the
// token's own.
func CheckName(s string) error {
	if err := (beesting.Token{Name: s, Path: "/x"}).Validate(); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "name "))
	}
	return nil
}

// CheckTokenPath holds for what a token's path can be; the rule is the token's
// own.
func CheckTokenPath(s string) error {
	if err := (beesting.Token{Name: "x", Path: s}).Validate(); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "path "))
	}
	return nil
}

// CheckContent holds for what a token's content can be; the rule is the token's
// own, and its error says nothing of the content but how long it is.
func CheckContent(b []byte) error {
	if err := (beesting.Token{Name: "x", Path: "/x", Content: b}).Validate(); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "content: "))
	}
	return nil
}

// CheckPluginIndex holds for what containerd's NRI takes as an index.
func CheckPluginIndex(s string) error {
	if len(s) != 2 || strings.Trim(s, "0123456789") != "" {
		return fmt.Errorf(`%q is not two digits, like "90"`, clip(s))
	}
	return nil
}

// CheckTokenCount holds for how many tokens there can be.
func CheckTokenCount(n int) error {
	switch {
	case n == 0:
		return errors.New("the list is empty: there is nothing to plant")
	case n > MaxTokens:
		return fmt.Errorf("%d of them, at most %d are allowed", n, MaxTokens)
	}
	return nil
}

// CheckExcludeCount holds for how many exclude rules there can be.
func CheckExcludeCount(n int) error {
	if n > MaxExclude {
		return fmt.Errorf("%d of them, at most %d are allowed", n, MaxExclude)
	}
	return nil
}

// MaxPatterns bounds one list of names or images: all of it may have to be tried
// for every container.
const MaxPatterns = 1024

// CheckPatterns holds for how long a list of patterns can be.
func CheckPatterns(n int) error {
	if n > MaxPatterns {
		return fmt.Errorf("%d of them, at most %d are allowed", n, MaxPatterns)
	}
	return nil
}

// CheckExclude holds for what an exclude rule can be.
func CheckExclude(r policy.Rule) error {
	if r.IsZero() {
		return errors.New("a rule without a condition excludes everything")
	}
	return nil
}

// CheckPath compares a token's path with that of a token before it that every
// matched container gets: where the two can't both be files, no container would
// ever get the later one. other names the earlier one.
func CheckPath(path, earlier, other string) error {
	switch {
	case !policy.Collide(path, earlier):
		return nil
	case path == earlier:
		return fmt.Errorf("%q is already used by %s", clip(path), other)
	case strings.HasPrefix(path, earlier):
		return fmt.Errorf("%q lies below the path of %s, which is a file", clip(path), other)
	default:
		return fmt.Errorf("%q lies above the path of %s, and so would be a directory", clip(path), other)
	}
}
