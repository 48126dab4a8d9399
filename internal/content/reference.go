package content

//go:generate go test -run ^TestReferenceIsCurrent$ -count=1 . -update

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed reference.head.md
var referenceHeadTable string

// Reference is docs/kinds.md.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHeadTable)
	b.WriteString("\n## The kinds\n\n| kind | is | path | mode | id | carried by | parsed in tests by |\n|---|---|---|---|---|---|---|\n")
	for _, k := range Kinds() {
		bits := dash("")
		if k.Bits > 0 {
			bits = fmt.Sprintf("%d bits", k.Bits)
		}
		path := dash("")
		if k.Path != "" {
			path = "`" + k.Path + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%04o` | %s | %s | %s |\n", k.Name, k.About, path, k.Mode, bits, dash(k.Carrier), dash(k.Parser))
	}
	b.WriteString("\nA kind without a path needs the key `path`.\n\n## Values\n\n| kind | needs, if any is given | takes as well |\n|---|---|---|\n")
	for _, k := range Kinds() {
		if k.make == nil {
			continue
		}
		var needed, others []string
		for _, v := range k.Values {
			name := "`" + v.Name + "`"
			if v.pem {
				name += " (PEM)"
			}
			if v.Needed {
				needed = append(needed, name)
			} else {
				others = append(others, name)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, dash(strings.Join(needed, ", ")), dash(strings.Join(others, ", ")))
	}
	b.WriteString(templateHead)
	for _, f := range templateFunctions() {
		fmt.Fprintf(&b, "| `%s` | %s |\n", f.Use, f.About)
	}
	return b.String()
}

const templateHead = `
## Templates

A template is one of Go's [text/template](https://pkg.go.dev/text/template), of at most 64 KiB, with ` + "`{{if}}` and `{{with}}`" + ` and
without anything that could run for long: no ` + "`{{range}}`, no `{{define}}`, no `printf`" + `. Of the package's functions it has
` + "`and`, `or`, `not`, `eq`, `ne`, `lt`, `le`, `gt`, `ge` and `len`. `.Namespace`, `.Pod`, `.Container` and `.Token`" + ` are
names. What it gives is at most 1 MiB. It is tried when the configuration is read.

| function | gives |
|---|---|
`

func dash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}
