#!/usr/bin/env bash
# Runs a command as a named step: says when it starts, every 30 s that it still
# runs, and how it ended after how long. The exit code is the command's.
# usage: step.sh NAME COMMAND [ARGUMENT...]
set -uo pipefail

name=$1
shift
SECONDS=0
printf '==> %s\n' "$name"

# A pipe that nobody writes to: waiting on it leaves no orphaned sleep behind.
exec {silence}<> <(:)
heartbeat() {
  trap - EXIT
  while ! read -r -t 30 -u "$silence"; do
    printf '    %s: %d s\n' "$name" "$SECONDS"
  done
}
heartbeat &
beat=$!
trap 'kill "$beat" 2>/dev/null' EXIT

"$@"
status=$?
if [ "$status" = 0 ]; then
  printf '    %s: ok, %d s\n' "$name" "$SECONDS"
else
  printf '    %s: FAILED (exit code %d), %d s\n' "$name" "$status" "$SECONDS"
fi
exit "$status"
