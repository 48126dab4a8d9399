#!/usr/bin/env bash
# Builds what is missing of the stack's back ends into the cache and prints the
# directory of each program's version, one a line: NAME=PATH.
# Cold, in processor time: Prometheus about 13 minutes (promtool shares most of it),
# Jaeger 9, Loki 14.
# usage: build.sh loki|prometheus|promtool|jaeger...
set -euo pipefail
cd "$(dirname "$0")"

cache=${BEESTING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/beesting}/stack

build() { # program, module of ours, tags
  local name=$1 dir=$2 tags=$3 module package version binary stamp
  package=$(sed -n "s|^\(tool\)\{0,1\}[[:space:]]*\(github.com/[^ ]*/cmd/$name\)\$|\2|p" "$dir/go.mod")
  module=${package%/cmd/*}
  version=$(sed -n "s|^\(require\)\{0,1\}[[:space:]]*$module \(v[^ ]*\).*|\2|p" "$dir/go.mod")
  # What is built from other dependencies is another program.
  stamp=$(cat "$dir/go.mod" "$dir/go.sum" | sha256sum | cut -c1-12)-$(go env GOARCH)
  binary=$cache/$name-$version-$stamp/$name
  if [ ! -x "$binary" ]; then
    SECONDS=0
    printf '    building %s %s (once)\n' "$name" "$version" >&2
    mkdir -p "${binary%/*}"
    # Under another name first: a build that is cut off, or two at once, must not
    # leave half a program.
    CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off nice -n 10 go -C "$dir" build -trimpath \
      -ldflags '-s -w' -tags "$tags" -o "$binary.$$" "$package" >&2 &
    local builder=$!
    while kill -0 "$builder" 2>/dev/null; do
      sleep 1
      [ $((SECONDS % 30)) != 0 ] || printf '    building %s: %d s\n' "$name" "$SECONDS" >&2
    done
    wait "$builder"
    mv "$binary.$$" "$binary"
    printf '    built %s in %d s, %d MiB\n' "$name" "$SECONDS" $(($(stat -c %s "$binary") >> 20)) >&2
  fi
  printf '%s=%s\n' "$name" "$binary"
}

[ $# -gt 0 ] || { echo "usage: ${0##*/} loki|prometheus|promtool|jaeger..." >&2; exit 2; }
for program in "$@"; do
  case $program in
    # Service discovery brings the clients of a dozen clouds, half of the program.
    prometheus | promtool) build "$program" prometheus remove_all_sd ;;
    loki | jaeger) build "$program" "$program" '' ;;
    *) echo "usage: ${0##*/} loki|prometheus|promtool|jaeger..." >&2; exit 2 ;;
  esac
done
