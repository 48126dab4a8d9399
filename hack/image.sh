#!/usr/bin/env bash
# Builds the image of the agent, or of the Collector with the receiver, for amd64
# and arm64, without a container daemon:
#   dist/image/NAME.tar             OCI image layout, for `ctr images import`, skopeo, crane
#   dist/image/NAME-ARCH.spdx.json  what is in it
# and prints NAME:VERSION@DIGEST. The same sources and the same Go give the same digest.
# usage: image.sh beesting|collector [DIRECTORY]
#   VERSION            by default what git says
#   IMAGE_REPOSITORY   by default ghcr.io/beesting-otel
#   SOURCE_DATE_EPOCH  by default the time of the commit
#   ARCHES             by default "amd64 arm64"
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(realpath -m "${2:-dist/image}")
repository=${IMAGE_REPOSITORY:-ghcr.io/beesting-otel}
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo unknown)}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
revision=${REVISION:-$(git rev-parse HEAD 2>/dev/null || true)}
read -ra arches <<<"${ARCHES:-amd64 arm64}"

case ${1:-} in
  beesting)
    name=beesting cmd=()
    description='honeytoken sensor for Kubernetes: plants fake secrets and tells by OpenTelemetry who touched them'
    ;;
  collector)
    name=otelcol-beesting cmd=(-cmd --config -cmd /etc/otelcol/config.yaml)
    description='OpenTelemetry Collector with the honeytoken receiver and what it takes in Kubernetes'
    ;;
  *) echo "usage: ${0##*/} beesting|collector [DIRECTORY]" >&2; exit 2 ;;
esac

compile() { # ARCH; what and how is set below
  CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOFLAGS=-mod=readonly go build -C "$source_dir" -trimpath -buildvcs=false \
    -ldflags "-s -w $link" -o "$work/$name-$1" "$package"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
if [ "$name" = beesting ]; then
  source_dir=. package=./cmd/beesting link="-X main.version=$version"
else
  # The stock builder writes the main package, as `make collector-k8s` has it do;
  # compiled here, for the processors that the builder doesn't run on too.
  source_dir=dist/k8s package=. link=
  "$(hack/tool.sh builder)" --config builder-config-k8s.yaml --skip-strict-versioning=false \
    --skip-compilation >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
fi
binaries=()
for arch in "${arches[@]}"; do
  echo "    compiling $name for $arch" >&2
  compile "$arch"
  binaries+=(-binary "$arch=$work/$name-$arch")
done
go build -C deploy/image -o "$work/image" .
"$work/image" -name "$repository/$name:$version" -title "$name" -description "$description" \
  -version "$version" -revision "$revision" -source https://github.com/beesting-otel/beesting -created "$epoch" \
  -program "/usr/bin/$name" "${cmd[@]}" "${binaries[@]}" \
  -licence LICENSE -licence LICENSES/GPL-2.0-only.txt -licence LICENSES/BSD-2-Clause.txt \
  -out "$out/$name.tar" -sbom "$out/$name"
