#!/usr/bin/env bash
# Builds a developer tool at the version internal/tools/go.mod pins (helm:
# test/deploy/go.mod, with Kubernetes' libraries), once per version and Go release,
# and prints the path of the binary.
# usage: tool.sh golangci-lint|builder|helm
set -euo pipefail

cd "$(dirname "$0")/../internal/tools"
case ${1:-} in
  golangci-lint) module=github.com/golangci/golangci-lint/v2 package=$module/cmd/golangci-lint ;;
  builder) module=go.opentelemetry.io/collector/cmd/builder package=$module ;;
  helm) module=helm.sh/helm/v4 package=$module/cmd/helm; cd ../../test/deploy ;;
  *) echo "usage: ${0##*/} golangci-lint|builder|helm" >&2; exit 2 ;;
esac

version=$(go list -m -f '{{.Version}}' "$module")
# A linter refuses sources of a newer Go than the one it was built with.
key=$1-$version-$(go env GOVERSION)
binary=${BEESTING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/beesting}/tools/$key/$1
if [ ! -x "$binary" ]; then
  echo "    building $1 $version (once)" >&2
  mkdir -p "${binary%/*}"
  CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o "$binary.$$" "$package"
  mv "$binary.$$" "$binary"
fi
printf '%s\n' "$binary"
