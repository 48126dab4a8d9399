#!/usr/bin/env bash
# Runs make targets one after the other, each within its limit of seconds, and
# goes on after a failure so that one run shows them all. Ends with a table and
# the line "N passed, N failed"; the exit code is 1 if any failed. Before the table
# comes what those that failed printed last.
# usage: run-steps.sh TARGET:SECONDS...
set -uo pipefail
cd "$(dirname "$0")/.." || exit

begin=$SECONDS
table=()
worst=()
passed=0
failed=0
running=
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
# timeout(1) moves itself to a process group of its own, so that it can end
# everything the step started; Ctrl-C has to be passed on to it.
trap '[ -z "$running" ] || kill -TERM "$running"; exit 130' INT TERM

for step in "$@"; do
  target=${step%:*} limit=${step#*:}
  start=$SECONDS
  printf '\n##### %s\n' "$target"
  exec {out}> >(tee "$logs/$target")
  tee=$!
  timeout --kill-after=20 "$limit" "${MAKE:-make}" --no-print-directory "$target" </dev/null >&"$out" 2>&1 &
  running=$!
  wait "$running"
  status=$?
  running=
  exec {out}>&-
  # For its last lines; not for ever, as an orphan of the step may hold the pipe.
  for ((i = 0; i < 50; i++)); do
    kill -0 "$tee" 2>/dev/null || break
    sleep 0.1
  done
  case $status in
    0) verdict=passed; passed=$((passed + 1)) ;;
    124 | 137) verdict='FAILED: over its limit'; failed=$((failed + 1)) ;;
    *) verdict=FAILED; failed=$((failed + 1)) ;;
  esac
  [ "$status" = 0 ] || worst+=("$target")
  table+=("$(printf '%-18s %5d s of %5d s  %s' "$target" $((SECONDS - start)) "$limit" "$verdict")")
done

for target in "${worst[@]}"; do
  printf '\n##### %s: the end of its output\n' "$target"
  grep -vE '^    [^:]*: [0-9]+ s$' "$logs/$target" | tail -n 60
done
printf '\n'
printf '%s\n' "${table[@]}"
printf '%-18s %5d s\n\n' total $((SECONDS - begin))
printf '%d passed, %d failed\n' "$passed" "$failed"
[ "$failed" = 0 ]
