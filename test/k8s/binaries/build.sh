#!/usr/bin/env bash
# Builds what a Kubernetes cluster of one node is made of into the cache, unless
# it is there, and prints the directory. Needs Go only. 21 minutes of CPU time
# when cold, half of that on the clock of two processors.
# usage: build.sh [PART...]      by default all of them
set -euo pipefail
cd "$(dirname "$0")"

version=$(go list -m -f "{{.Version}}" k8s.io/kubernetes) version=${version#v}
dir=${BEESTING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/beesting}/k8s-$version
sums=$(cat go.mod go.sum build.sh)
stamp=$(sha256sum <<<"$sums" | cut -d' ' -f1)-$(go env GOARCH)

# Helm and kubectl refuse to talk to a server that says it is v0.0.0.
major=${version%%.*} rest=${version#*.}
set_version=
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  set_version+=" -X $package.gitVersion=v$version -X $package.gitMajor=$major -X $package.gitMinor=${rest%%.*}"
done

build() { # NAME PACKAGE
  [ "$(cat "$dir/$1.stamp" 2>/dev/null)" != "$stamp" ] || return 0
  echo "    building $1 $version (once)" >&2
  # Under another name first: a build that is cut off, or two at once, must not
  # leave half a binary.
  CGO_ENABLED=0 GOFLAGS=-mod=readonly GOWORK=off go build -trimpath \
    -ldflags "-s -w$set_version" -o "$dir/$1.$$" "$2" >&2
  mv "$dir/$1.$$" "$dir/$1"
  echo "$stamp" >"$dir/$1.stamp"
}

mkdir -p "$dir"
[ $# -gt 0 ] || set -- kubectl etcd kube-apiserver kube-controller-manager kube-scheduler kubelet
for part; do
  case $part in
    etcd) build etcd go.etcd.io/etcd/server/v3 ;;
    kubectl | kubelet | kube-apiserver | kube-controller-manager | kube-scheduler) build "$part" "k8s.io/kubernetes/cmd/$part" ;;
    *) echo "${0##*/}: no part is called $part" >&2; exit 2 ;;
  esac
done
printf '%s\n' "$dir"
