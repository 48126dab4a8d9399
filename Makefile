# `make help` lists the targets. Everything runs on a bare Debian 12 with Go,
# make, git and root; what else is needed is installed by the target that needs
# it. What is built or downloaded once goes to $BEESTING_CACHE (by default
# ~/.cache/beesting), never into the tree.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
export MAKE

# Debian kernels that the VM tests boot; "newest" is the newest one to be had.
KERNELS ?= 5.10 6.1 6.12 6.18 newest
KERNEL ?= 6.12
# Of the VM tests all run on these (and on each of KERNELS that is asked for), on
# the others the sensor in its best mode.
# KERNEL has the conformance cases, and its modes the end-to-end scenarios.
FULL_KERNELS ?= $(if $(filter file,$(origin KERNELS)),5.10 newest,$(KERNELS))
# The end-to-end scenarios run in full on the first, those that depend on the
# kernel on the others too.
E2E_KERNELS ?= 6.12
E2E_SMOKE ?= 6.12
# How many of their VMs run at a time. The scenarios touch, restart and wait at a
# pace that two guests on two slow processors don't both keep.
E2E_JOBS ?= 1
BENCH_KERNELS ?= 6.1 6.12
# How long each fuzz target looks for new input.
FUZZTIME ?= 5s
export FUZZTIME

# Packages with tests that need a kernel of ours.
VM_PACKAGES = $(shell grep -rlE '^//go:build .*\bvmtest\b' --include='*_test.go' . | xargs -rn1 dirname | sort -u)

# Of them, those that need root, real file systems or a sensor more than a certain
# kernel: each command loads its programs anew, which takes an emulator long.
VM_ONE_KERNEL ?= ./internal/hook ./internal/journal ./internal/state ./internal/stealth ./cmd/beesting

STEP := hack/step.sh

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n%s\n", substr($$0, 5)} \
	  /^[a-zA-Z0-9_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Build

.PHONY: build
build: ## Build bin/beesting, static.
	@$(STEP) build env CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/beesting ./cmd/beesting

.PHONY: cross
cross: ## Build for arm64, and what is portable for other systems.
	@$(STEP) 'build linux/arm64' env CGO_ENABLED=0 GOOS=linux GOARCH=arm64 go build ./...
	@$(STEP) 'build darwin/arm64' env CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go build . ./bpf/... ./exporter/... ./collectorreceiver/...
	@$(STEP) 'build windows/amd64' env CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go build ./collectorreceiver/...
	@$(STEP) 'vet receiver on darwin' env CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 go vet ./collectorreceiver
	@$(STEP) 'vet receiver on windows' env CGO_ENABLED=0 GOOS=windows GOARCH=amd64 go vet ./collectorreceiver

.PHONY: generate
generate: ## Regenerate eBPF objects and generated documentation (clang 14).
	@$(STEP) generate hack/generate.sh

# K8S=1 builds the one of builder-config-k8s.yaml instead.
.PHONY: collector
collector: ## Build the Collector with the receiver, check its configurations.
	@$(STEP) collector hack/collector.sh $(if $(filter-out 0,$(K8S)),k8s)

.PHONY: collector-k8s
collector-k8s: ## The same with Kubernetes metadata and filters (twice as big).
	@$(STEP) collector-k8s hack/collector.sh k8s

.PHONY: collector-cold
collector-cold: ## Build it from empty caches and without clang: a few minutes.
	@$(STEP) collector-cold hack/collector-cold.sh

.PHONY: image
image: ## Build dist/image/beesting.tar: the agent's image for amd64 and arm64, with SBOMs.
	@$(STEP) 'image beesting' hack/image.sh beesting

.PHONY: image-collector
image-collector: ## The same for the Collector with the receiver.
	@$(STEP) 'image collector' hack/image.sh collector

.PHONY: clean
clean: ## Remove what was built in the tree; the cache stays.
	rm -rf bin dist

##@ Test

# Limits in seconds for a cold run on two slow cores, with room to spare.
.PHONY: test
test: ## Everything: lint, generated files, unit, fuzz, VMs, real runtime.
	@hack/run-steps.sh lint:1200 verify-generate:900 cross:1200 collector:600 \
	  collector-k8s:900 test-unit:1500 test-dashboards-lint:600 test-formats:900 test-deploy:900 test-collector:600 test-configs:600 fuzz-seeds:900 test-vm:3000 test-conformance:900 \
	  test-vm-harness:600 test-e2e:3300

.PHONY: lint
lint: ## Lint Go, C, shell and docs, and prove that the rules bite.
	@hack/install-deps.sh shellcheck
	@$(STEP) sources hack/check-sources.sh
	@for dir in . dashboards test/formats test/collector/otelcol test/deploy deploy/image internal/tools; do \
	  $(STEP) "$$dir/go.mod is tidy" env -C "$$dir" go mod tidy -diff || exit 1; \
	done
	@$(STEP) golangci-lint hack/golangci-lint.sh
	@$(STEP) 'rules bite' hack/lint-selftest.sh

.PHONY: verify-generate
verify-generate: ## Fail if a generated file is not what its source gives.
	@$(STEP) regenerate hack/verify-generate.sh

.PHONY: test-unit
test-unit: ## Unit tests with the race detector; no root, no VM.
	@hack/install-deps.sh gcc libc6-dev
	@$(STEP) 'go test -race' env CGO_ENABLED=1 go test -race ./...

.PHONY: test-native
test-native: ## What this machine's own kernel can do without eBPF; needs root.
	@$(STEP) 'test-native' go test -count=1 -tags native ./internal/fanotify

.PHONY: fuzz-seeds
fuzz-seeds: ## Each fuzz target: its seeds, then new input for FUZZTIME.
	@$(STEP) fuzz hack/fuzz.sh

.PHONY: test-formats
test-formats: ## Every token kind, parsed by the client libraries of its format.
	@$(STEP) 'go vet ./test/formats' env -C test/formats go vet .
	@$(STEP) 'go test ./test/formats' env -C test/formats go test -count=1 .

.PHONY: test-dashboards-lint
test-dashboards-lint: ## Dashboards, alert rules and what is provisioned: seconds, no back end.
	@$(STEP) 'go vet ./dashboards' env -C dashboards go vet -tags stack .
	@$(STEP) 'go test ./dashboards' env -C dashboards go test -count=1 .

# Not in `test`: promtool takes minutes to build when the cache is cold.
.PHONY: test-alerts
test-alerts: ## Each alert for Prometheus fires and resolves, by promtool.
	@$(STEP) 'build promtool' test/stack/build.sh promtool
	@$(STEP) 'promtool' bash -c 'eval "$$(test/stack/build.sh promtool)"; cd dashboards/alerts && \
	  "$$promtool" check rules --lint=all prometheus.yaml && "$$promtool" test rules prometheus_test.yaml'

# Not in `test`: the back ends take half an hour of processor time to build when the
# cache is cold, and an alert takes five minutes to resolve.
.PHONY: test-dashboards
test-dashboards: test-dashboards-lint test-alerts ## Every panel, alert and documented query on real back ends (10 minutes; needs root).
	@go run ./test/stack down
	@$(STEP) 'stack' go run ./test/stack up
	@trap 'go run ./test/stack down' EXIT; $(STEP) 'go test -tags stack ./dashboards' \
	  env -C dashboards STACK_STATE="$$(go run ./test/stack state)" go test -count=1 -tags stack -run TestStack -v -timeout 20m .

.PHONY: test-deploy
test-deploy: ## Chart and kustomize bases: rendered, decoded strictly, held against the rules.
	@for dir in deploy/image test/deploy; do \
	  $(STEP) "go vet ./$$dir" env -C "$$dir" go vet . && \
	  $(STEP) "go test ./$$dir" env -C "$$dir" go test -count=1 . || exit 1; \
	done

.PHONY: test-image
test-image: ## Build the agent's image twice, in two places: the same digest and the same bytes.
	@$(STEP) 'image, twice' hack/image-verify.sh beesting

.PHONY: test-collector
test-collector: ## What a real Collector receives from the exporter.
	@$(STEP) 'build the Collector' test/collector/build.sh
	@hack/install-deps.sh gcc libc6-dev
	@$(STEP) 'go test -race -tags integration' env CGO_ENABLED=1 \
	  go test -race -tags integration -run Collector ./exporter ./test/runtime/collectorproc

.PHONY: test-configs
test-configs: collector collector-k8s ## What the configurations in deploy/otel do, in those Collectors.
	@$(STEP) 'build the Collector behind' test/collector/build.sh
	@$(STEP) 'go test -tags integration ./test/build' go test -count=1 -tags integration ./test/build

# One kernel each, as many at a time as there are processors; the longest first.
VM_TEST = go run ./test/vm/cmd/vm test -timeout 30m
VM_DISKS = -fs ext4 -fs xfs -fs btrfs
VM_RUNS = $(patsubst %,full-%,$(filter newest,$(FULL_KERNELS)) $(filter-out newest,$(FULL_KERNELS))) \
  one-$(KERNEL) $(patsubst %,best-%,$(filter-out $(FULL_KERNELS) $(KERNEL),$(KERNELS))) lockdown-$(KERNEL)

.PHONY: test-vm
test-vm: ## Kernel tests on KERNELS, in VMs; no KVM needed.
	@$(MAKE) --keep-going -j $(shell nproc) $(VM_RUNS:%=test-vm-%)

test-vm-full-%:
	@$(STEP) 'test-vm $*' $(VM_TEST) -kernels $* $(VM_DISKS) $(filter-out $(VM_ONE_KERNEL),$(VM_PACKAGES))

test-vm-one-%:
	@$(STEP) 'test-vm $*, of no certain kernel' $(VM_TEST) -kernels $* $(VM_ONE_KERNEL)

test-vm-best-%:
	@$(STEP) 'test-vm $*, best mode' $(VM_TEST) -kernels $* $(VM_DISKS) -run 'TestEveryProgramLoads|TestSensor/lsm' ./bpf

test-vm-lockdown-%:
	@$(STEP) 'test-vm $* lockdown=confidentiality' $(VM_TEST) -kernels $* -append lockdown=confidentiality $(VM_DISKS) \
	  -run 'TestModesOfThisKernel|TestSensor/(lsm|fentry)/(attribution|short|entry|overlay|paths)' ./bpf

.PHONY: test-vm-harness
test-vm-harness: ## What the VM harness says of guests that exit, hang and panic.
	@$(STEP) 'test-vm-harness' go test -count=1 -tags vmboot ./test/vm

.PHONY: test-e2e
test-e2e: ## The agent, containerd and a Collector, all real: every scenario.
	@$(STEP) 'test-e2e $(E2E_KERNELS) $(E2E_SMOKE)' go run ./test/e2e/cmd/e2e -j $(E2E_JOBS) \
	  -kernels '$(E2E_KERNELS)' -smoke '$(E2E_SMOKE)'

# Not part of `make test`: Kubernetes takes 21 minutes of CPU time to build once.
K8S_RUN ?=
.PHONY: test-k8s
test-k8s: ## Helm chart, image and agent on a real API server and kubelet (K8S_RUN=REGEXP).
	@$(STEP) test-k8s go run ./test/k8s/cmd/k8s -run '$(K8S_RUN)'

LIFECYCLES ?= 1000
WHERE ?= vm
.PHONY: test-lifecycles
test-lifecycles: ## So many containers come and go in a VM: no access (half an hour on an idle core; minutes with WHERE=host).
	@$(STEP) 'test-lifecycles $(KERNEL)' go run ./test/e2e/cmd/e2e -where $(WHERE) -kernels $(KERNEL) -lifecycles $(LIFECYCLES)

.PHONY: planting-matrix
planting-matrix: ## Each way to plant in each kind of container; writes docs/planting.md.
	@$(STEP) 'planting-matrix $(KERNEL)' go run ./test/e2e/cmd/e2e -where vm -kernels $(KERNEL) -run 'TestPlanting/Matrix$$' -update

# Every kernel's results are kept in the cache, so that a run of some kernels
# updates their part of the table. RUNGS, TIERS, FS and CASES select further.
CONFORMANCE_KERNELS ?= $(KERNELS) $(if $(filter file,$(origin KERNELS)),arm64/6.12)
RUNGS ?= lsm fentry kprobe fanotify
TIERS ?= default recon
FS ?= tmpfs ext4 xfs btrfs
CASES ?=
.PHONY: conformance
conformance: ## Every way to touch a token, on each kernel and rung; writes docs/conformance.md.
	@hack/install-deps.sh gcc libc6-dev gcc-aarch64-linux-gnu libc6-dev-arm64-cross
	@$(STEP) 'conformance $(CONFORMANCE_KERNELS)' go run ./test/conformance/cmd/conformance -doc docs/conformance.md \
	  -kernels "$$(echo $(CONFORMANCE_KERNELS) | tr ' ' ,)" -rungs "$$(echo $(RUNGS) | tr ' ' ,)" \
	  -tiers "$$(echo $(TIERS) | tr ' ' ,)" -fs "$$(echo $(FS) | tr ' ' ,)" -cases "$$(echo $(CASES) | tr ' ' ,)" \
	  -results "$${BEESTING_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/beesting}/conformance"

.PHONY: test-conformance
test-conformance: ## The part of it that is quick: one kernel, the best rung, the default tier.
	@hack/install-deps.sh gcc libc6-dev
	@$(STEP) 'conformance $(KERNEL) lsm default' go run ./test/conformance/cmd/conformance \
	  -kernels $(KERNEL) -rungs lsm -tiers default

.PHONY: bench
bench: ## Instructions and memory that watching costs, beside other ways.
	@$(STEP) 'bench $(BENCH_KERNELS)' go run ./test/bench -kernels "$$(echo $(BENCH_KERNELS) | tr ' ' ,)"

.PHONY: bench-start
bench-start: ## What tokens add to the start of a container, and the agent's answers.
	@$(STEP) 'bench-start $(KERNEL)' go run ./test/e2e/cmd/e2e -kernels $(KERNEL) -run TestStartCost

.PHONY: bench-latency
bench-latency: ## From a touch to the OTLP back end, on this machine.
	@$(STEP) bench-latency go run ./test/latency

.PHONY: test-many
test-many: ## A node with 500 containers, and the restart of its agent (minutes, without a VM).
	@$(STEP) 'test-many $(KERNEL)' go run ./test/e2e/cmd/e2e -kernels $(KERNEL) -run TestMany

OUTAGE ?= 10s
.PHONY: test-delivery
test-delivery: ## What arrives at a back end that is away, busy, slow or faulty for OUTAGE (without a VM).
	@$(STEP) 'test-delivery $(OUTAGE)' go run ./test/e2e/cmd/e2e -kernels $(KERNEL) -run TestDelivery -outage $(OUTAGE)

KILLS ?= 200
.PHONY: test-kills
test-kills: ## What arrives of an agent that is killed KILLS times under load (an hour; a VM with eBPF).
	@$(STEP) 'test-kills $(KILLS)' go run ./test/e2e/cmd/e2e -where vm -kernels $(KERNEL) -run TestKills -kills $(KILLS)

.PHONY: program-sizes
program-sizes: ## Write the eBPF programs' sizes on KERNELS into docs/program-sizes.md.
	@$(STEP) 'program-sizes $(KERNELS)' go run ./test/bench -sizes \
	  -kernels "$$(echo $(KERNELS) | tr ' ' ,)" -write docs/program-sizes.md

.PHONY: test-load
test-load: ## Floods and kill -9 in a VM: every touch told, coalesced or lost by name.
	@$(STEP) 'test-load $(KERNEL)' go run ./test/load -kernel $(KERNEL)

##@ Try it

.PHONY: run
run: ## Two pods, one reads its token: the whole way, once (OTLP=HOST:PORT).
	@go run ./test/run -kernel '$(KERNEL)' -otlp '$(OTLP)'

.PHONY: stack
stack: ## Loki, Prometheus, Jaeger, a Collector and a break-in, on loopback (needs root).
	@$(STEP) stack go run ./test/stack up

.PHONY: stack-down
stack-down: ## Take it down.
	@go run ./test/stack down

.PHONY: vm
vm: ## A root shell in a VM with beesting on the PATH (KERNEL=6.12).
	@go run ./test/vm/cmd/vm shell -kernel $(KERNEL)
