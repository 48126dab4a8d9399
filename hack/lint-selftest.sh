#!/usr/bin/env bash
# Proves that the lint rules bite: writes a module with one violation per file,
# runs the linters on it with this repository's configuration and expects each
# file to be refused by the rule meant for it. Foreign modules are empty
# stand-ins: only their import paths matter here.
set -euo pipefail

repo=$(cd "$(dirname "$0")/.." && pwd)
module=github.com/beesting-otel/beesting
linter=$("$repo/hack/tool.sh" golangci-lint)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cp "$repo/.golangci.yml" "$tree"
cd "$tree"
printf 'module %s\n\ngo 1.26.0\n' "$module" >go.mod

expected=() # "FILE WORD": the report has a line about FILE with WORD in it
refuse() { # word, file; the file's content on standard input
  mkdir -p "$(dirname "$2")"
  cat >"$2"
  expected+=("$2 $1")
}
number=0
refuse_import() { # directory, package, import path
  number=$((number + 1))
  refuse '(depguard)' "$1/violation$number.go" <<GO
// Package $2 breaks the import table.
package $2

import _ "$3"
GO
  [ "${3#"$module"}" = "$3" ] || return 0
  [[ $3 == *.* ]] || return 0 # the standard library is there
  [ ! -d "foreign/$3" ] || return 0
  mkdir -p "foreign/$3"
  printf 'module %s\n\ngo 1.26.0\n' "$3" >"foreign/$3/go.mod"
  printf '// Package foreign is a stand-in.\npackage foreign\n' >"foreign/$3/foreign.go"
  printf 'require %s v0.0.0\nreplace %s => ./foreign/%s\n' "$3" "$3" "$3" >>go.mod
}

# Each room, and what it must never import.
refuse_import . beesting golang.org/x/sys/unix
refuse_import bpf bpf "$module"
refuse_import bpf bpf go.opentelemetry.io/otel
refuse_import bpf bpf github.com/containerd/nri/pkg/api
refuse_import nri nri "$module/bpf"
refuse_import nri nri go.opentelemetry.io/otel
refuse_import exporter exporter "$module/bpf"
refuse_import exporter exporter "$module/nri"
refuse_import internal/agent agent go.opentelemetry.io/otel
refuse_import internal/agent agent "$module/exporter"
refuse_import internal/agent agent github.com/spf13/cobra
refuse_import internal/fanotify fanotify "$module"
refuse_import internal/fanotify fanotify go.opentelemetry.io/otel
refuse_import internal/hook hook "$module/bpf"
refuse_import internal/hook/place place fmt
refuse_import internal/hook/wire wire encoding/json
refuse_import cmd/beesting-hook main os
refuse_import internal/content content "$module"
refuse_import internal/content content golang.org/x/crypto/ssh
refuse_import internal/journal journal "$module/exporter"
refuse_import internal/journal journal go.opentelemetry.io/otel
refuse_import internal/agent agent k8s.io/client-go/rest
refuse_import internal/kube kube k8s.io/client-go/kubernetes
refuse_import internal/kube kube k8s.io/api/core
refuse_import internal/kube kube "$module/internal/agent"
refuse_import internal/policy policy "$module/bpf"
refuse_import internal/policy policy go.opentelemetry.io/otel
refuse_import internal/state state "$module/nri"
refuse_import internal/state state go.opentelemetry.io/otel
refuse_import internal/config config go.etcd.io/bbolt
refuse_import collectorreceiver collectorreceiver "$module/bpf"
refuse_import collectorreceiver collectorreceiver "$module/nri"
refuse_import cmd/beesting main "$module/collectorreceiver"
refuse_import internal/agent agent "$module/test/vm"
refuse_import internal/agent agent go.uber.org/goleak
mkdir -p test/vm && printf '// Package vm is a stand-in.\npackage vm\n' >test/vm/vm.go

refuse '(gochecknoglobals)' internal/config/global.go <<'GO'
// Package config breaks rules of form.
package config

var counter int

// Next changes a global.
func Next() int { counter++; return counter }
GO
refuse '(gochecknoinits)' internal/config/init.go <<'GO'
package config

func init() { Next() }
GO
refuse '(errorlint)' internal/config/wrap.go <<'GO'
package config

import "fmt"

// Wrap hides its cause.
func Wrap(err error) error { return fmt.Errorf("read settings: %v", err) }
GO
refuse '(forbidigo)' internal/config/print.go <<'GO'
package config

import "fmt"

// Show prints from a library.
func Show() { fmt.Println("x") }
GO
refuse '(revive)' internal/config/comment.go <<'GO'
package config

func Uncommented() {}
GO
{
  printf 'package config\n\n// Long is long.\nfunc Long() int {\n\tn := 0\n'
  for _ in $(seq 60); do printf '\tn++\n'; done
  printf '\treturn n\n}\n'
} | refuse '(funlen)' internal/config/long.go
{
  printf 'package config\n'
  for _ in $(seq 400); do printf '\n'; done
  printf '\nconst last = 1\n\n// Last is last.\nfunc Last() int { return last }\n'
} | refuse 'file-length-limit' internal/config/tall.go

# The rules of check-sources.sh.
printf '//go:build ignore\n\nint x;\n' | refuse 'SPDX' bpf/bare.bpf.c
{
  printf '//go:build ignore\n\n/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */\n'
  for _ in $(seq 200); do printf 'int x;\n'; done
} | refuse 'more than' bpf/tall.bpf.c
refuse 'what was being done' internal/config/wording.go <<'GO'
package config

import "errors"

// ErrRead is worded badly.
var ErrRead = errors.New("failed to read settings")
GO
refuse 'is a failure' internal/config/skip_test.go <<'GO'
package config

import "testing"

func TestSkipped(t *testing.T) { t.Skip("not today") }
GO
printf '#!/bin/bash\nls $%d\n' 1 | refuse 'SC2086' hack/quote.sh
printf 'See [here](absent.md).\n' | refuse 'no such file' docs/broken.md

git init -q . && git add -A
report=$({
  "$linter" run --allow-parallel-runners --output.text.print-issued-lines=false ./... || true
  "$repo/hack/check-sources.sh" || true
} 2>&1)

missed=0
for entry in "${expected[@]}"; do
  file=${entry%% *} word=${entry#* }
  grep -F -- "${file#./}:" <<<"$report" | grep -qF -- "$word" || {
    echo "not refused: $file by $word"
    missed=$((missed + 1))
  }
done
if [ "$missed" -gt 0 ]; then
  printf '%s\n' "--- what the linters said" "$report"
  exit 1
fi
echo "    ${#expected[@]} violations, all refused"
