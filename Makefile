SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
BIN := .venv/bin
PROTOS := $(wildcard proto/swarm/api/v1/*.proto)

help: ## show what can be made
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 18

proto: ## generate swarm/api/v1 from proto/
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. \
	  --mypy_out=. --mypy_grpc_out=. $(PROTOS)

fmt: ## format the code
	$(BIN)/ruff format . && $(BIN)/ruff check --fix-only -q .

check: ## lint and type-check everything
	$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy && $(BIN)/pyright

.PHONY: help proto fmt check
