#!/usr/bin/env bash
# Builds the Collector of builder-config.yaml into dist/ with the stock builder,
# says how long that took and how big it is, and lets it check the
# configurations in deploy/otel/collector.
# usage: collector.sh [k8s]      k8s: builder-config-k8s.yaml, into dist/k8s
set -euo pipefail
cd "$(dirname "$0")/.."

# A node runs one of these on top of everything else; without a limit the
# lean build would not stay lean.
limit_mib=47
case ${1:-} in
  '') manifest=builder-config.yaml binary=dist/otelcol-beesting ;;
  k8s) manifest=builder-config-k8s.yaml binary=dist/k8s/otelcol-beesting-k8s limit_mib= ;;
  *) echo "usage: ${0##*/} [k8s]" >&2; exit 2 ;;
esac

builder=$(hack/tool.sh builder)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
SECONDS=0
# Strict: the versions that Go selects must be the ones in the manifest.
CGO_ENABLED=0 "$builder" --config "$manifest" --skip-strict-versioning=false >"$log" 2>&1 ||
  { cat "$log" >&2; exit 1; }
size=$(stat -c %s "$binary")
printf '    %s: %d s, %d bytes (%d.%d MiB)\n' "$binary" "$SECONDS" "$size" \
  $((size >> 20)) $(((size & 1048575) * 10 >> 20))
if [ -n "$limit_mib" ] && [ "$size" -gt $((limit_mib << 20)) ]; then
  echo "    $binary is over $limit_mib MiB; go tool nm -size -sort size (on a build without -s -w) shows why" >&2
  exit 1
fi
hack/collector-validate.sh "$binary"
