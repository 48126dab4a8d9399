package content

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Kind is what a content pretends to be.
type Kind struct {
	Name string
	// About says what it is, in half a line.
	About string
	// Path is where such a file is looked for; empty if there is no such place.
	Path string
	// Mode is what its owner's tools give it.
	Mode fs.FileMode
	// Bits is how much of the canary id it carries: 128 for all, 0 for nothing.
	Bits int
	// Carrier is the part of the content that carries it.
	Carrier string
	// Values are the names that the user's own values can have. As soon as one
	// is given, all that are needed have to be.
	Values []Value
	// Parser says what tests parse it with.
	Parser string

	make func(*job) ([]byte, error) // nil if the user brings the content
}

// Value is one that the user can bring.
type Value struct {
	Name   string
	Needed bool // whenever any is given
	// pem allows several lines, of PEM.
	pem bool
}

// Kinds returns all kinds that make a content, and "template" and "generic",
// which the user brings it for, in the order of the documentation.
func Kinds() []Kind { return kindTable() }

// Names returns the names of the kinds that make their content.
func Names() []string {
	var names []string
	for _, k := range kindTable() {
		if k.make != nil {
			names = append(names, k.Name)
		}
	}
	return names
}

// Lookup returns the kind of that name, which makes its content; the error
// names those that do.
func Lookup(name string) (Kind, error) {
	if k, known := find(name); known && k.make != nil {
		return k, nil
	}
	return Kind{}, fmt.Errorf("kind %.70q makes no content; these do: %s", name, strings.Join(Names(), ", "))
}

func find(name string) (Kind, bool) {
	for _, k := range kindTable() {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

const maxValue = 16 << 10

func (k Kind) checkValues(given map[string]string) error {
	if len(given) == 0 {
		return nil
	}
	for _, name := range sorted(given) {
		i := slices.IndexFunc(k.Values, func(v Value) bool { return v.Name == name })
		if i < 0 {
			return fmt.Errorf("values: unknown name %.60q: %s", name, k.allowed())
		}
		if err := checkValue(given[name], k.Values[i].pem); err != nil {
			return fmt.Errorf("values: %s: %w", name, err)
		}
	}
	for _, v := range k.Values {
		if _, ok := given[v.Name]; v.Needed && !ok {
			return fmt.Errorf("values: %s is missing: %s", v.Name, k.allowed())
		}
	}
	return nil
}

func (k Kind) allowed() string {
	var needed, others []string
	for _, v := range k.Values {
		if v.Needed {
			needed = append(needed, v.Name)
		} else {
			others = append(others, v.Name)
		}
	}
	text := "kind " + k.Name + " takes "
	switch {
	case len(k.Values) == 0:
		return text + "none"
	case len(others) == 0:
		return text + strings.Join(needed, ", ")
	}
	return text + strings.Join(needed, ", ") + " and, if wanted, " + strings.Join(others, ", ")
}

func sorted(m map[string]string) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
