package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/beesting-otel/beesting"
)

// maxLabel is the longest DNS label, which namespaces' and containers' names are
// (RFC 1123).
const maxLabel = 63

// maxImage is more than any image's name needs: 255 bytes of repository, 128 of
// tag, and a digest (the distribution project's reference grammar).
const maxImage = 512

// Pattern is a name in which "*" stands for any run of characters, "/" and the
// empty run included, and "?" for exactly one. Make it with [ParseNamespace],
// [ParseContainer] or [ParseImage]; the zero value matches only the empty name.
type Pattern struct{ glob string }

// ParseNamespace checks a pattern for namespaces: 1 to 63 bytes of a-z, 0-9, "-",
// "*" and "?", as a namespace is a DNS label.
func ParseNamespace(s string) (Pattern, error) { return parseLabel(s, "namespace") }

// ParseContainer is ParseNamespace for the names of containers.
func ParseContainer(s string) (Pattern, error) { return parseLabel(s, "container") }

func parseLabel(s, what string) (Pattern, error) {
	switch {
	case s == "":
		return Pattern{}, errors.New("must not be empty")
	case len(s) > maxLabel:
		return Pattern{}, fmt.Errorf("longer than %d bytes, which no %s is", maxLabel, what)
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-*?", c) {
			return Pattern{}, fmt.Errorf(`%q can't be in a %s's name: use a-z, 0-9, "-", and "*" or "?" as wildcards`, c, what)
		}
	}
	return Pattern{glob: s}, nil
}

// ParseImage checks a pattern for images: 1 to 512 bytes of what references are
// made of, "*" and "?". It is compared as [Match] says.
func ParseImage(s string) (Pattern, error) {
	switch {
	case s == "":
		return Pattern{}, errors.New("must not be empty")
	case len(s) > maxImage:
		return Pattern{}, fmt.Errorf("longer than %d bytes", maxImage)
	case strings.Contains(s, "://"):
		return Pattern{}, errors.New("must not have a scheme: an image is named as in a pod")
	}
	for _, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		// Brackets are those of an IPv6 address, "+" can be in a digest's algorithm.
		if !letter && !strings.ContainsRune("._-/:@+[]*?", c) {
			return Pattern{}, fmt.Errorf(`%q can't be in an image's name`, c)
		}
	}
	return Pattern{glob: s}, nil
}

// String returns the pattern as written.
func (p Pattern) String() string { return p.glob }

// matches takes at most len(glob) times len(name) steps: only the last "*" is
// ever tried again, as what an earlier one could take the last one can, too.
func (p Pattern) matches(name string) bool {
	g, n := 0, 0
	star, resume := -1, 0
	for n < len(name) {
		switch {
		case g < len(p.glob) && p.glob[g] == '*':
			star, resume = g, n
			g++
		case g < len(p.glob) && (p.glob[g] == '?' || p.glob[g] == name[n]):
			g++
			n++
		case star >= 0:
			resume++
			g, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(p.glob[g:], "*") == ""
}

// first returns the first pattern that matches one of the names.
func first(patterns []Pattern, names ...string) (Pattern, bool) {
	for _, p := range patterns {
		for _, name := range names {
			if p.matches(name) {
				return p, true
			}
		}
	}
	return Pattern{}, false
}

// images are the ways to name the container's image: the repository alone, with
// each tag, with each digest, and with both; each in full and, for those of Docker
// Hub, as short as a pod may name them. None if the runtime gave no name. The
// last one says the most.
func images(c *beesting.Container) []string {
	if c.ImageName == "" {
		return nil
	}
	repositories := repositories(c.ImageName)
	names := repositories
	for _, tag := range c.ImageTags {
		for _, repository := range repositories {
			names = append(names, repository+":"+tag)
		}
	}
	tagged := names
	for _, digest := range c.ImageDigests {
		for _, name := range tagged {
			names = append(names, name+"@"+digest)
		}
	}
	return names
}

const (
	hub        = "docker.io/"
	hubLibrary = hub + "library/"
)

// repositories are the names of one repository, the full one last. A name without
// a registry is Docker Hub's, as for containerd (the distribution project's
// reference.ParseNormalizedNamed); runtimes differ in which form they tell.
func repositories(name string) []string {
	registry, _, found := strings.Cut(name, "/")
	switch {
	case !found:
		return []string{name, hubLibrary + name}
	case registry != "localhost" && !strings.ContainsAny(registry, ".:"):
		return []string{name, hub + name}
	}
	short, isHub := strings.CutPrefix(name, hub)
	if !isHub || short == "" {
		return []string{name}
	}
	if official := strings.TrimPrefix(name, hubLibrary); official != name && official != "" && !strings.Contains(official, "/") {
		short = official
	}
	return []string{short, name}
}
