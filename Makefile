SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
PROTOS := $(wildcard proto/swarm/api/v1/*.proto)
PACKAGES := busybox-static docker-registry etcd-server iproute2 libseccomp2 nftables procps \
  python3-venv skopeo umoci util-linux
# For tests only: who else uses our runtime (whichever Docker is there stays), and another kernel.
TEST_PACKAGES := conmon podman $(if $(shell command -v dockerd),,docker.io) \
  e2fsprogs iperf3 kmod prometheus qemu-system-x86

help: ## show what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 18

setup: .venv/.ready ## install everything: system packages, the virtual environment

.venv/.ready: pyproject.toml scripts/setup
	scripts/setup "$(PYTHON)" $(PACKAGES)
	@touch $@

quickstart: setup ## start a one-node swarm here and run a service with 100 replicas
	@scripts/quickstart up

quickstart-down: ## remove every trace of the quickstart
	@scripts/quickstart down

proto: setup ## generate swarm/api/v1 from proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. \
	  --mypy_out=quiet:. --mypy_grpc_out=quiet:. \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc $(PROTOS)

fmt: setup ## format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix-only -q .

check: setup ## lint and type-check everything
	$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q .
	$(BESIDE) mypy pyright

mypy pyright:
	$(BIN)/$@

test: check .venv/.tests ## lint, types and every test: core, simulation, contracts, kernels, cluster
	$(KERNEL)
	$(BESIDE) core vm
	$(NODES)
	$(BIN)/pytest -q -m cluster tests/cluster

# Two at a time. Those of clusters measure this machine, and have it look like several: one at a time.
BESIDE = $(MAKE) --no-print-directory --jobs=2 --output-sync=target
# A worker that dies is not replaced: xdist would hand its successor nothing and wait for ever.
PAIR = $(BIN)/pytest -q -n 2 --dist loadfile --max-worker-restart 0
CORE = $(PAIR) -m "not kernel and not cluster"
KERNEL = $(PAIR) -m "kernel and not cluster"
NODES = $(PAIR) -m cluster --ignore tests/cluster

core: setup ## the tests that need no root, no kernel and no cluster
	$(CORE)

sim: setup ## simulate clusters; SEEDS=n runs that many, SEED=n replays one, SHRINK=1 shortens it
	$(BIN)/python -m tests.sim $(if $(SEED),--seed $(SEED) $(if $(SHRINK),--shrink 60)) \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(FIRST),--first $(FIRST)) $(if $(JOBS),--jobs $(JOBS))

mutations: setup ## see that the simulation finds each of its deliberate bugs
	ALL_MUTATIONS=1 $(BIN)/pytest -q -s tests/sim/test_mutations.py

kernel: setup ## the tests against this machine's kernel, with a fault at every step of a container
	SWARM_TEST_STRIDE=1 $(KERNEL)

kernel-v2: .venv/.tests ## the kernel tests in an emulated Debian kernel with cgroup v2; ARGS="-k name"
	$(BIN)/python -m tests.vm $(ARGS)

vm: .venv/.tests ## those of the kernel tests that this machine may lack something for, in that kernel
	$(BIN)/python -m tests.vm --quick

.venv/.tests: .venv/.ready
	scripts/setup "$(PYTHON)" $(TEST_PACKAGES)
	@touch $@

cluster: .venv/.tests ## the tests with real processes, etcd, registry and hosts
	$(NODES)
	$(BIN)/pytest -q -m cluster tests/cluster

rollouts: .venv/.tests ## a hundred rolling updates of a service that somebody watches
	UPDATES=100 $(BIN)/pytest -q -s tests/cluster/test_rollouts.py -k no_gap

churn: .venv/.tests ## ten minutes of requests while everything behind them changes
	CHURN_S=600 $(BIN)/pytest -q -s tests/cluster/test_churn.py

oracle: .venv/.tests ## see that Docker's own daemon answers and builds as ours does
	ORACLE=1 $(BIN)/pytest -q tests/cluster/test_docker_cli.py tests/cluster/test_build_oracle.py

bench: setup ## measure, side by side with Docker Swarm where it can be installed
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks --overlay
	$(BIN)/python -m benchmarks.overlay
	$(BIN)/python -m benchmarks.docker_run
	$(BIN)/python -m benchmarks.builds

bench-runtime: setup ## measure the runtime beside runc and crun; ARGS="--crun PATH" names another
	$(BIN)/python -m benchmarks.runtime $(ARGS)

bench-scale: setup ## measure the control plane with hollow nodes; ARGS="--nodes 1000 --tasks 100000"
	$(BIN)/python -m benchmarks.scale $(ARGS)

docs: setup ## render the generated reference pages
	$(BIN)/python -m docs.generate

.PHONY: help setup quickstart quickstart-down proto fmt check mypy pyright test core vm sim mutations kernel kernel-v2 cluster rollouts churn bench bench-runtime bench-scale docs
