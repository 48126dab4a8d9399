#!/bin/sh
# Makes the hook program for both architectures, stripped and compressed. Run by
# go generate, in the directory above. The bytes depend on nothing but the
# sources, go.mod and these versions: another compiler gives other bytes, so it
# is the one named here, downloaded by the go command if it isn't there.
set -eu
unset GOFLAGS GOEXPERIMENT GODEBUG GOFIPS140
export GOTOOLCHAIN=go1.26.8 GOENV=off GOWORK=off GOOS=linux GOAMD64=v1 GOARM64=v8.0 CGO_ENABLED=0
for arch in amd64 arm64; do
  GOARCH=$arch go build -trimpath -buildvcs=false -ldflags '-s -w -buildid=' \
    -o "program/hook_$arch" ../../cmd/beesting-hook
  gzip -n -9 -f "program/hook_$arch"
done
