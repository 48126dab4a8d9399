#!/usr/bin/env bash
# Runs every fuzz target of the module: its seeds and its corpus, then new input
# for FUZZTIME (5s). An input that fails is kept by Go below testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

output=$(mktemp)
trap 'rm -f "$output"' EXIT

# fuzz runs one target. Go before 1.27 may call the end of FUZZTIME a failure,
# "context deadline exceeded", with no input to blame (golang/go#75804).
fuzz() {
  go test -run '^$' -fuzz "^$2\$" -fuzztime "${FUZZTIME:-5s}" "$1" </dev/null 2>&1 | tee "$output" && return
  if [ "$(grep -cE '^ {4}[^ ]' "$output")" = 1 ] && grep -qx '    context deadline exceeded' "$output"; then
    echo "    $2: only the time was up, which is no failure"
    return
  fi
  return 1
}

targets=0
while read -r directory package; do
  while read -r name; do
    printf '    %s %s\n' "${package##*/}" "$name"
    fuzz "$package" "$name"
    targets=$((targets + 1))
  done < <(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$directory"/*.go)
done < <(go list -f '{{if .TestGoFiles}}{{.Dir}} {{.ImportPath}}{{else if .XTestGoFiles}}{{.Dir}} {{.ImportPath}}{{end}}' ./...)

[ "$targets" -gt 0 ] || { echo "fuzz: no fuzz target found" >&2; exit 1; }
echo "    $targets fuzz targets"
