#!/usr/bin/env bash
# Builds an image twice, from the tree and from a copy of it elsewhere, and fails
# if the two don't have the same digest and the same bytes.
# usage: image-verify.sh beesting|collector
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/tree"
git ls-files -z --cached --others --exclude-standard --deduplicate |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar --null -T - -cf - | tar -xf - -C "$copy/tree"

# The copy is no git repository: what git says is said here, to both.
VERSION=${VERSION:-$(git describe --tags --always --dirty)} REVISION=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export VERSION REVISION SOURCE_DATE_EPOCH
here=$(hack/image.sh "$1")
there=$("$copy/tree/hack/image.sh" "$1" "$copy/out")
[ "$here" = "$there" ] || { printf '%s\n' "image-verify: here $here" "there $there" >&2; exit 1; }
for file in "$copy"/out/*; do
  cmp "$file" "dist/image/${file##*/}"
done
printf '    %s, twice\n' "$here"
