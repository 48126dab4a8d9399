#!/usr/bin/env bash
# Installs the Debian packages named as arguments, those that are missing and
# no others. With nothing missing it needs neither root nor a network.
#
# BEESTING_NO_INSTALL=1 turns it into a no-op, for machines that get their
# tools another way; what is missing then fails where it is used.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: ${0##*/} PACKAGE..." >&2; exit 2; }
[ "${BEESTING_NO_INSTALL:-}" != 1 ] || exit 0

fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  exit 1
}

command -v dpkg-query >/dev/null ||
  fail "no dpkg here; install the counterparts of '$*' by hand and set BEESTING_NO_INSTALL=1"

missing=()
for package in "$@"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = 'install ok installed' ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

[ "$(id -u)" = 0 ] || fail "not root; run: sudo apt-get install ${missing[*]}"

printf '    installing %s\n' "${missing[*]}"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
  # The lock time-out covers a second install at the same time and the machine's
  # own unattended upgrades.
  DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 \
    -o Acquire::Retries=3 "$@" </dev/null >>"$log" 2>&1
}
{ apt update && apt install --no-install-recommends "${missing[@]}"; } || {
  tail -n 20 "$log" >&2
  fail "apt-get could not install ${missing[*]} (log above)"
}
