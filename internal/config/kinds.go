package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/beesting-otel/beesting"
	"github.com/beesting-otel/beesting/internal/content"
)

// DefaultTokenMode is that of a token whose content the user brings.
const DefaultTokenMode fs.FileMode = 0o644

// Given says which of a token's keys are there.
type Given struct {
	Content, ContentFile, Template, Values, Path, Mode bool
	// Keys names content, contentFile, template, values and path in messages.
	Keys [5]string
}

// CompleteToken decides what makes the content of t, fills in what depends on
// it (whether the content is made, the path and the mode), and returns what is
// wrong with that; the caller puts the token before it. Each other rule of a key
// has been checked before.
func CompleteToken(t *beesting.Token, g Given) []error {
	var errs []error
	kind, err := content.Lookup(t.Kind)
	known := err == nil
	given := 0
	for _, is := range []bool{g.Content, g.ContentFile, g.Template} {
		if is {
			given++
		}
	}
	sources := fmt.Sprintf("the keys %s, %s and %s", g.Keys[0], g.Keys[1], g.Keys[2])
	switch {
	case given > 1:
		errs = append(errs, fmt.Errorf("only one of %s can be given", sources))
	case given == 0 && !known:
		errs = append(errs, needsContent(t.Kind, sources))
	case given == 0 || g.Template:
		t.Generate = true
		if g.Template && t.Template == "" {
			break // a mistake of its own
		}
		if err := content.Check(t.Kind, t.Template, t.Values); err != nil {
			errs = append(errs, err)
		}
	}
	if g.Values && (g.Content || g.ContentFile) {
		errs = append(errs, fmt.Errorf("%s are for a kind that makes its content, or a template", g.Keys[3]))
	}
	if !g.Path {
		if t.Path = kind.Path; t.Path == "" {
			errs = append(errs, fmt.Errorf("key %s is missing", g.Keys[4]))
		}
	}
	if !g.Mode {
		t.Mode = DefaultTokenMode
		if t.Generate && !g.Template && known {
			t.Mode = kind.Mode
		}
	}
	return errs
}

func needsContent(kind, sources string) error {
	names := content.Names()
	if kind == "" || kind == beesting.KindGeneric || kind == "template" {
		return fmt.Errorf("one of %s must be given, or a kind that makes its content: %s", sources, strings.Join(names, ", "))
	}
	hint := ""
	if near := suggest(kind, names); near != "" {
		hint = fmt.Sprintf(" (did you mean %q?)", near)
	}
	return fmt.Errorf("kind %q makes no content%s: give one of %s, or one of the kinds that do: %s",
		clip(kind), hint, sources, strings.Join(names, ", "))
}

// MaxValues is how many values of its own a token can have.
const MaxValues = 64

// CheckValueCount refuses too many.
func CheckValueCount(n int) error {
	if n > MaxValues {
		return fmt.Errorf("%d of them, at most %d are allowed", n, MaxValues)
	}
	return nil
}

// CheckTemplate refuses a template that there is none of.
func CheckTemplate(s string) error {
	switch {
	case s == "":
		return errors.New("must not be empty")
	case len(s) > content.MaxTemplate:
		return fmt.Errorf("%d bytes, at most %d are allowed", len(s), content.MaxTemplate)
	}
	return nil
}
