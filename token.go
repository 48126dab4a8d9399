package beesting

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxTokenContent is the largest content of a token, in bytes. A credential
// file is rarely larger than a few KiB; the bound keeps a mistaken
// configuration from filling the state directory of every node.
const MaxTokenContent = 1 << 20

// maxPath is PATH_MAX of Linux (include/uapi/linux/limits.h), which counts the
// terminating NUL.
const maxPath = 4096

// maxName bounds a token's name; it ends up as an attribute value and as a
// part of file names in the state directory.
const maxName = 63

// Token is a fake secret: what is planted, not where.
type Token struct {
	// Name identifies the token in configuration and telemetry. It is unique
	// within a configuration; 1 to 63 bytes of [a-z0-9-], not starting or
	// ending with "-".
	Name string
	// Kind says what the content pretends to be, for example
	// "aws-credentials". Free text in the form of Name; "generic" if empty.
	Kind string
	// Path is where a container sees the token: absolute, clean, at most 4095
	// bytes, never "/".
	Path string
	// Content is what a reader of the token finds; at most MaxTokenContent. It
	// is not used if Generate is set.
	Content []byte
	// Generate asks for a content that is made for each container: from
	// Template, or by Kind if that is empty.
	Generate bool
	Template string
	// Values are the user's own in a made content, by name.
	Values map[string]string
	// Mode holds the permission bits of the file. Other bits are refused.
	Mode fs.FileMode
	// WatchDirectory asks for accesses of kind AccessList as well: listing the
	// directory that the token stands in.
	WatchDirectory bool
	// Strategy is how the token gets into containers; StrategyAuto if empty.
	Strategy Strategy
	// Overwrite hides a file that the container has at Path. Without it such a
	// container goes without the token.
	Overwrite bool
}

// Strategy is a way to get a token into a container.
type Strategy string

// The strategies. Their text is configuration, status and what agents write down.
const (
	// StrategyAuto: bind, and live where that can't be.
	StrategyAuto Strategy = "auto"
	// StrategyBind: a file of the agent's, which the runtime mounts when it sets the
	// container up.
	StrategyBind Strategy = "bind"
	// StrategyHook: a file in the container's own root, which an OCI hook makes before
	// the container starts.
	StrategyHook Strategy = "hook"
	// StrategyLive: the same file as with bind, which the agent mounts in a container that is
	// there already.
	StrategyLive Strategy = "live"
)

// Strategies are all of them, in the order of their explanation.
func Strategies() []Strategy {
	return []Strategy{StrategyAuto, StrategyBind, StrategyHook, StrategyLive}
}

// KindGeneric is the kind of a token whose configuration names none.
const KindGeneric = "generic"

// Validate reports every rule that t breaks, joined. The error's text names
// the field and the rule, ready to be shown to the author of a configuration.
func (t Token) Validate() error {
	var errs []error
	if err := validateName(t.Name); err != nil {
		errs = append(errs, fmt.Errorf("name %q: %w", t.Name, err))
	}
	if t.Kind != "" {
		if err := validateName(t.Kind); err != nil {
			errs = append(errs, fmt.Errorf("kind %q: %w", t.Kind, err))
		}
	}
	if err := validatePath(t.Path); err != nil {
		errs = append(errs, fmt.Errorf("path %q: %w", t.Path, err))
	}
	if len(t.Content) > MaxTokenContent {
		errs = append(errs, fmt.Errorf("content: %d bytes, at most %d are allowed", len(t.Content), MaxTokenContent))
	}
	if t.Mode&^fs.ModePerm != 0 {
		errs = append(errs, fmt.Errorf("mode %v: only permission bits (0000 to 0777) are allowed", t.Mode))
	}
	if t.Strategy != "" && !slices.Contains(Strategies(), t.Strategy) {
		errs = append(errs, fmt.Errorf("strategy %q: must be one of %v", t.Strategy, Strategies()))
	}
	return errors.Join(errs...)
}

func validateName(s string) error {
	if s == "" {
		return errors.New("must not be empty")
	}
	if len(s) > maxName {
		return fmt.Errorf("longer than %d bytes", maxName)
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return errors.New(`may hold only a-z, 0-9 and "-"`)
		}
	}
	if s[0] == '-' || s[len(s)-1] == '-' {
		return errors.New(`must not start or end with "-"`)
	}
	return nil
}

func validatePath(p string) error {
	switch {
	case p == "":
		return errors.New("must not be empty")
	case !path.IsAbs(p):
		return errors.New("must be absolute")
	case p == "/":
		return errors.New("must name a file, not the root directory")
	case path.Clean(p) != p:
		return fmt.Errorf("must be clean: write %q", path.Clean(p))
	case len(p) >= maxPath:
		return fmt.Errorf("longer than %d bytes", maxPath-1)
	case strings.ContainsRune(p, 0):
		return errors.New("must not hold a NUL byte")
	case !utf8.ValidString(p):
		return errors.New("must be valid UTF-8")
	}
	return nil
}
