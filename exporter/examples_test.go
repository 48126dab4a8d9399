package exporter

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/beesting-otel/beesting"
)

// examplesDir has one file for each kind of access, to be read by people who write
// rules for a back end.
const examplesDir = "../docs/otlp"

// oneLine is an attribute with a simple value, which is put on one line.
var oneLine = regexp.MustCompile(`\{\s*"key": ("[^"]*"),\s*"value": \{\s*([^{}]*[^{}\s])\s*\}\s*\}`)

// exampleOf is what an access of a kind looks like, with a detail and flags where
// the kind has them.
func exampleOf(r kindRule) beesting.Access {
	a := pointAccess(r.kind)
	if r.ends {
		a.EndTime, a.Reads = sampleAccess().EndTime, 2
	}
	if !r.flags {
		a.File.Flags = 0
	}
	switch r.kind {
	case beesting.AccessExec:
		a.EndTime, a.Reads = sampleAccess().EndTime, 0
	case beesting.AccessWrite:
		a.File.Flags |= 0o1
	case beesting.AccessSymlink:
		a.Detail = "../../root/.aws/credentials"
	case beesting.AccessRename:
		a.Detail = "credentials.old"
	case beesting.AccessXattr:
		a.Detail = "user.comment"
	case beesting.AccessMount:
		// A pod has no right to mount: what is refused is told as well.
		a.Outcome, a.ErrorType = beesting.OutcomeDenied, "EPERM"
	}
	return a
}

// The examples in docs/otlp are what the code makes: a log record and a span in
// OTLP's JSON, as any receiver of OTLP gets it.
func TestExamples(t *testing.T) {
	var names []string
	for _, r := range kindTable {
		name := string(r.kind) + ".json"
		names = append(names, name)
		text := pdataJSON(t, sampleMapping(t), exampleOf(r))
		// golden's names are below testdata.
		golden(t, filepath.Join("..", examplesDir, name), oneLine.ReplaceAll(text, []byte(`{"key": $1, "value": {$2}}`)))
	}
	entries, err := os.ReadDir(examplesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(names, e.Name()) {
			t.Errorf("%s is of no kind", filepath.Join(examplesDir, e.Name()))
		}
	}
}
