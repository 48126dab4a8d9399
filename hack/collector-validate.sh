#!/usr/bin/env bash
# Lets a Collector check the configurations in deploy/otel/collector, in every
# combination that their first lines speak of. A Collector that lacks a component
# which only builder-config-k8s.yaml has is asked for the others.
# usage: collector-validate.sh BINARY [DIRECTORY]
set -euo pipefail

binary=$1
directory=${2:-$(dirname "$0")/../deploy/otel/collector}
lean=(node gateway 'gateway gateway-tls')
k8s=('node node-k8s' 'node alerts' 'node node-k8s alerts')

# Variables without a default. Any value will do, nothing is opened or dialled.
storage=$(mktemp -d)
trap 'rm -rf "$storage"' EXIT
export STORAGE_DIR=$storage NODE_NAME=node-1
export GATEWAY_ENDPOINT=127.0.0.1:4317 ALERT_URL=http://127.0.0.1:8080/alerts
export LOKI_ENDPOINT=http://127.0.0.1:3100/otlp TEMPO_ENDPOINT=127.0.0.1:4317
export PROMETHEUS_ENDPOINT=http://127.0.0.1:9090/api/v1/otlp
export OTLP_CERT_FILE=tls.crt OTLP_KEY_FILE=tls.key OTLP_CLIENT_CA_FILE=ca.crt

components=$("$binary" components)
combinations=("${lean[@]}")
case $components in *'name: k8s_attributes'*) combinations+=("${k8s[@]}") ;; esac

# A file that no combination has would never be checked.
for file in "$directory"/*.yaml; do
  name=$(basename "$file" .yaml)
  case " ${lean[*]} ${k8s[*]} " in
    *" $name "*) ;;
    *) echo "$file is in no combination of ${0##*/}" >&2; exit 1 ;;
  esac
done

# To the Collector a variable that isn't set is empty text, and no mistake.
while read -r variable; do
  [ -n "${!variable+set}" ] || { echo "$directory uses \${env:$variable}, which has no default and is unknown to ${0##*/}" >&2; exit 1; }
done < <(grep -ohE '\$\{env:[A-Za-z_0-9]+\}' "$directory"/*.yaml | sed -E 's/.*:(.*)\}/\1/' | sort -u)

status=0
for combination in "${combinations[@]}"; do
  arguments=()
  for name in $combination; do
    arguments+=(--config "$directory/$name.yaml")
  done
  if output=$("$binary" validate "${arguments[@]}" 2>&1); then
    printf '    valid: %s\n' "$combination"
  else
    printf '%s\n    NOT valid: %s\n' "$output" "$combination" >&2
    status=1
  fi
done
exit $status
