#!/usr/bin/env bash
# Regenerates everything that is generated and committed: eBPF objects with
# their Go doors, and documentation that the code writes.
#
# The objects are made by one compiler only, clang 14 of Debian 12: another
# major gives other bytes, so a comparison would say nothing about the sources.
set -euo pipefail
cd "$(dirname "$0")/.."

clang_major=14
hack/install-deps.sh clang llvm lld libbpf-dev
found=$(clang --version | sed -nE '1s/.*version ([0-9]+)\..*/\1/p')
if [ "$found" != "$clang_major" ]; then
  echo "generate: clang $clang_major wanted, $(command -v clang) is ${found:-unknown}" >&2
  exit 1
fi
# Documentation is written by programs that embed the objects: those come first.
go generate -skip '^//go:generate go test' ./...
go generate -run '^//go:generate go test' ./...
# A module of its own, which ./... doesn't go into.
env -C dashboards go generate ./...

# The kustomize bases and the chart's README, in a module of their own.
go generate -C test/deploy ./...
