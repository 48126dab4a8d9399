// Package formats parses what internal/content makes with the clients of the
// formats themselves.
package formats
