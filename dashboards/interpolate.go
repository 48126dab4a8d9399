package main

import (
	"regexp"
	"strings"
)

// reference is a variable in a query: $name, ${name} or ${name:format}.
var referenceNames = regexp.MustCompile(`\$(\w+)|\$\{(\w+)(:\w+)?\}`)

// interpolate puts values in place of variables, as Grafana does before it asks a
// data source. A variable without a value stays, and is refused by whoever is asked.
func interpolate(query string, values map[string]string) string {
	return referenceNames.ReplaceAllStringFunc(query, func(found string) string {
		name, _, _ := strings.Cut(strings.Trim(found, "${}"), ":")
		if value, known := values[name]; known {
			return value
		}
		return found
	})
}
