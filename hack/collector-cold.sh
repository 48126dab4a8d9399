#!/usr/bin/env bash
# Proves that a stock builder makes the Collector of builder-config.yaml from
# nothing but the committed files, Go and a module proxy: a copy of the tree,
# empty module and build caches, no clang on the PATH. Prints time and size.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Everything on the PATH but clang and its kin.
mkdir "$work/bin" "$work/tree"
IFS=: read -ra directories <<<"$PATH"
for directory in "${directories[@]}"; do
  find "$directory/" -maxdepth 1 ! -type d ! -name '*clang*' ! -name 'llvm-*' ! -name 'ld.lld*' \
    -exec ln -s -t "$work/bin" {} + 2>/dev/null || true # the first of a name counts
done
git ls-files -z --cached --others --exclude-standard --deduplicate |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  xargs -0 cp --parents -t "$work/tree"

export PATH=$work/bin GOMODCACHE=$work/mod GOCACHE=$work/build BEESTING_CACHE=$work/cache
# -modcacherw, so that the module cache can be removed again.
export GOFLAGS="${GOFLAGS:-} -modcacherw -buildvcs=false"
! command -v clang >/dev/null || { echo "clang is still on the PATH" >&2; exit 1; }
cd "$work/tree"
SECONDS=0
hack/tool.sh builder >/dev/null
printf '    builder: %d s, from an empty module cache\n' $SECONDS
hack/collector.sh
printf '    all of it: %d s; module cache %s, build cache %s\n' $SECONDS \
  "$(du -sh "$GOMODCACHE" | cut -f1)" "$(du -sh "$GOCACHE" | cut -f1)"
