#!/usr/bin/env bash
# Runs the pinned golangci-lint on the module.
set -euo pipefail
cd "$(dirname "$0")/.."
linter=$(hack/tool.sh golangci-lint)
exec "$linter" run --allow-parallel-runners "${@:-./...}"
