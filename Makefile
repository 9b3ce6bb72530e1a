# Everything a developer or an operator of a clone does. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
SEED ?= 1
HISTORIES ?= 10000
ROUNDS ?= 1
PACKAGES := certificates edge policycore sender cli bench tests proto/plugins
PIP_COMPILE = $(BIN)/uv --quiet pip compile --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links $(ARGS)

export PYTHON

.PHONY: help
help: ## list what can be done
	@echo "usage: make TARGET"
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)$$/\1\t\2/' | \
		while IFS=$$'\t' read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; done

.PHONY: run
run: install-run ## start the whole product with a demo account (HUBGATE_PORT=8080, HUBGATE_DATA=.hubgate)
	@exec $(BIN)/hubgate up --demo

.PHONY: test
test: install-dev ## run every test, on real servers; ARGS="-k window" passes on to pytest, WORKERS=0 runs them in line
	@exec $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

.PHONY: bench
bench: install-dev ## measure accepted replies a second in both shapes; ARGS pass on
	@exec $(BIN)/python -m bench $(ARGS)

.PHONY: simulate
simulate: install-dev ## run histories under a virtual clock; SEED=1, HISTORIES=10000, WORKERS=2, RECORD=1
	@PYTHONPATH=.:proto/gen:tests $(BIN)/python -m simulate --seed $(SEED) --histories $(HISTORIES) \
		--processes $(WORKERS) $(if $(RECORD),--record)

.PHONY: faults
faults: install-dev ## make every fault in real processes; SEED=1, ROUNDS=1, ARGS='--only redis' (--list names them)
	@PYTHONPATH=.:proto/gen:tests $(BIN)/python -m faults --seed $(SEED) --rounds $(ROUNDS) $(ARGS)

.PHONY: compose-env
compose-env: install-run ## write .env with fresh secrets for the compose file, if there is none
	@if [ -e .env ]; then echo "There is an .env already; it is left as it is."; else $(BIN)/hubgate secrets create --file .env; fi

.PHONY: compose-check
compose-check: install-dev ## bring the compose stack up, use, kill and stop all of it; needs Docker, takes minutes
	@PYTHONPATH=.:proto/gen:tests $(BIN)/python -m compose $(ARGS)

.PHONY: check
check: check-format check-lint check-types check-imports check-proto check-gen ## format, lint, types, import rules, contracts
	@echo "all checks passed"

.PHONY: check-format
check-format: install-dev
	$(BIN)/ruff format --check --quiet .

.PHONY: check-lint
check-lint: install-dev
	$(BIN)/ruff check --quiet .

.PHONY: check-types
check-types: install-dev
	$(BIN)/mypy --no-error-summary

.PHONY: check-imports
check-imports: install-dev
	PYTHONPATH=.:proto/gen $(BIN)/lint-imports --no-logo

.PHONY: check-proto
check-proto: install-dev
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code
	$(BIN)/buf breaking --against proto/baseline.binpb

.PHONY: check-gen
check-gen: install-dev
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	PATH="$$PWD/$(BIN):$$PATH" buf generate --output "$$folder"; \
	diff --recursive --brief --exclude=__pycache__ "$$folder/proto/gen" proto/gen || \
		{ echo "proto/gen is not what the contracts generate: run make proto" >&2; exit 1; }

.PHONY: format
format: install-dev ## format the code and the contracts, fix what can be fixed by rule
	$(BIN)/ruff format --quiet .
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/buf format --write

.PHONY: proto
proto: install-dev ## generate proto/gen from the contracts
	PATH="$$PWD/$(BIN):$$PATH" buf generate

.PHONY: baseline
baseline: install-dev ## at a release: make today's contracts the ones that may not break
	$(BIN)/buf build --exclude-source-info --output proto/baseline.binpb

.PHONY: wheel
wheel: install-dev ## build the contracts as a wheel for other products, in dist/
	@folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	cp -r proto "$$folder/" && mkdir -p dist && \
	$(BIN)/python -m pip --quiet wheel --no-deps --no-index --no-build-isolation --wheel-dir dist "$$folder/proto"
	@ls dist/hubgate_proto-*.whl

.PHONY: requirements
requirements: install-dev ## renew the pins from pyproject.toml; ARGS=--upgrade takes the newest versions
	cd requirements && ../$(PIP_COMPILE) bootstrap.in --output-file bootstrap.txt
	$(PIP_COMPILE) pyproject.toml --group dev --output-file requirements/dev.txt
	$(PIP_COMPILE) pyproject.toml --group build --constraint requirements/dev.txt --output-file requirements/run.txt

.PHONY: install-run
install-run:
	@requirements/install run

.PHONY: install-dev
install-dev:
	@requirements/install dev

.PHONY: clean
clean: ## remove .venv, caches and build results; keeps the data in .hubgate
	rm -rf .venv .venv.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist reports *.egg-info proto/build proto/dist
	find $(PACKAGES) proto/gen -name __pycache__ -type d -prune -exec rm -rf {} +
