#!/usr/bin/env bash
# Regenerates in a copy of the tree and fails, with the difference, if the copy
# is not what the tree holds. The tree itself is not touched. The copy lies in
# another directory on purpose: an object that depends on where it was built
# shows up here.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/before"
git ls-files -z --cached --others --exclude-standard --deduplicate |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar --null -T - -cf - | tar -xf - -C "$copy/before"
cp -a "$copy/before" "$copy/after"

# Removed first: an object that is no longer made must not pass as made.
objects=$(cd "$copy/after" && find . \( -name '*_bpfel.o' -o -name 'guard_*.elf' -o -name 'hook_*.gz' \) -print -delete | wc -l)
[ "$objects" -gt 0 ] || { echo "verify-generate: no generated objects found" >&2; exit 1; }
"$copy/after/hack/generate.sh" >"$copy/log" 2>&1 || {
  cat "$copy/log" >&2
  exit 1
}

cd "$copy"
git --no-pager diff --no-index --stat before after || {
  git --no-pager diff --no-index before after | head -n 200
  echo "verify-generate: generated files are stale; run 'make generate' and commit" >&2
  exit 1
}
echo "    $objects objects and all generated text are what the sources give"
