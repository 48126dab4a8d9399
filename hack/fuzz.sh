#!/usr/bin/env bash
# Runs every fuzz target of the module: its seeds and its corpus, then new input
# for FUZZTIME (5s). An input that fails is kept by Go below testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=0
while read -r directory package; do
  while read -r name; do
    printf '    %s %s\n' "${package##*/}" "$name"
    go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-5s}" "$package" </dev/null
    targets=$((targets + 1))
  done < <(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$directory"/*.go)
done < <(go list -f '{{if .TestGoFiles}}{{.Dir}} {{.ImportPath}}{{else if .XTestGoFiles}}{{.Dir}} {{.ImportPath}}{{end}}' ./...)

[ "$targets" -gt 0 ] || { echo "fuzz: no fuzz target found" >&2; exit 1; }
echo "    $targets fuzz targets"
