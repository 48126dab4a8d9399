#!/bin/sh
# Builds the OpenTelemetry Collector of the tests into the cache, unless it is
# there, and prints its path. Needs Go only. About 80 s of CPU time when cold.
set -eu
cd "$(dirname "$0")/otelcol"

version=$(sed -n 's|.*go.opentelemetry.io/collector/otelcol v||p' go.mod)
dir=${BEESTING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/beesting}/otelcol-$version
stamp=$(cat go.mod go.sum main.go "../$(basename "$0")" | sha256sum | cut -d' ' -f1)-$(go env GOARCH)

if [ "$(cat "$dir/stamp" 2>/dev/null)" != "$stamp" ]; then
	echo "building the OpenTelemetry Collector $version into $dir" >&2
	mkdir -p "$dir"
	# Under another name first: a build that is cut off, or two at once, must
	# not leave half a binary.
	CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off go build -trimpath \
		-ldflags "-s -w -X main.version=$version" -o "$dir/otelcol.$$" . >&2
	mv "$dir/otelcol.$$" "$dir/otelcol"
	echo "$stamp" >"$dir/stamp"
fi
echo "$dir/otelcol"
