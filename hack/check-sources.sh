#!/usr/bin/env bash
# Checks what no Go linter sees, on the files git knows or would add:
#   - eBPF C files carry their licence line and stay under 200 lines
#   - an error says what was being done, not that it failed
#   - no test skips itself: what can't run is a failure
#   - shell scripts pass shellcheck
#   - relative links of the documentation lead somewhere; the README stays short
# Every finding is one line; the exit code is 1 if there is any.
set -euo pipefail

licence='SPDX-License-Identifier: \(?GPL-2\.0-only OR BSD-2-Clause\)?'
max_c_lines=200
max_readme_lines=120
findings=0

report() {
  printf '%s\n' "$1"
  findings=$((findings + 1))
}

files() { # pathspec...
  git ls-files --cached --others --exclude-standard --deduplicate -- "$@" |
    while read -r file; do [ ! -f "$file" ] || printf '%s\n' "$file"; done
}

grep_go() { # message, extended regular expression, pathspec...
  local message=$1 pattern=$2 hit
  shift 2
  while read -r hit; do
    report "$hit: $message"
  done < <(files "$@" | xargs -r -d '\n' grep -nHE -- "$pattern")
}

while read -r file; do
  head -n 5 "$file" | grep -qE "$licence" || report "$file:1: no line '$licence' among the first five"
  lines=$(wc -l <"$file")
  [ "$lines" -le "$max_c_lines" ] || report "$file:$lines: more than $max_c_lines lines"
done < <(files '*.bpf.c' '*.bpf.h' 'bpf/*.c' 'bpf/*.h')

grep_go 'write what was being done ("watch inode 12: ...")' \
  '(fmt\.Errorf|errors\.New)\("(failed|could not|cannot|unable|error) ' '*.go'
grep_go 'a test that cannot run is a failure' '\b(t|b|tb|f)\.Skip(f|Now)?\(' '*_test.go'

while read -r file; do
  head -n 1 "$file" | grep -qE '^#!.*\b(ba|da)?sh\b' || continue
  while read -r hit; do report "$hit"; done < <(shellcheck -x -f gcc "$file" || true)
done < <(files '*.sh' '.ci/*' 'hack/*' 'test/*')

while read -r file; do
  while read -r link; do
    target=${link%%#*}
    [ -z "$target" ] || [ -e "$(dirname "$file")/$target" ] || report "$file: no such file: $link"
  done < <(grep -oE '\]\([^) ]+\)|(src|srcset|href)="[^"]+"' "$file" |
    sed -E 's/^\]\((.*)\)$/\1/; s/^[a-z]+="(.*)"$/\1/' | grep -vE '^([a-z]+:|//)')
done < <(files '*.md')

readme_lines=$(wc -l 2>/dev/null <README.md || echo 0)
[ "$readme_lines" -le "$max_readme_lines" ] ||
  report "README.md:$readme_lines: more than $max_readme_lines lines; detail belongs in docs/"

[ "$findings" = 0 ] || { printf '%d findings\n' "$findings"; exit 1; }
