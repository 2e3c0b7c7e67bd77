PYTHON ?= python3
BIN := .venv/bin
UV := $(or $(wildcard $(BIN)/uv),uv)
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header

.DEFAULT_GOAL := help
.PHONY: help run test e2e long chaos kills demo example sync bench lint types histories reference providers schema lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.installed  ## start everything on this machine, until Ctrl-C
	@exec $(BIN)/python -m dev.run

test: .venv/.installed  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not long and not e2e'  # most of a test waits

e2e: .venv/.installed  ## run the tests of the whole of Everlink, most of them in a real browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'e2e and not long'

long: .venv/.installed  ## run the tests that take half a minute or more each
	$(BIN)/python -m pytest -n 2 -m long

chaos: .venv/.installed  ## kill and stop workers at every step of a refresh (STRUCK=36 AT_ONCE=3: the small run)
	$(BIN)/python -m tests.chaos $(if $(STRUCK),--connections $(STRUCK)) $(if $(AT_ONCE),--at-once $(AT_ONCE))

kills: .venv/.installed  ## kill worker, API and Temporal at random while connections change (CHANGES=40: the small run)
	$(BIN)/python -m tests.kills $(if $(CHANGES),--changes $(CHANGES)) $(if $(SEED),--seed $(SEED))

demo: .venv/.installed  ## see a connection die and come back
	@exec $(BIN)/python -m dev.demo

example: .venv/.installed  ## see a product whose customers reconnect, in your browser
	@exec $(BIN)/python -m dev.example

sync: .venv/.installed  ## see a workflow of a product's wait for its customer, and go on
	@exec $(BIN)/python -m dev.sync

bench: .venv/.installed  ## measure refreshes beside an empty loop, sleeping connections, a storm, reads, webhooks, reconnects, waits
	@exec $(BIN)/python -m bench

lint: .venv/.installed  ## check style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.installed  ## check types
	$(BIN)/mypy

histories: .venv/.installed  ## record the workflow histories that the tests replay
	$(BIN)/python -m tests.record_histories
	$(BIN)/python -m tests.plugin.record_histories

reference: .venv/.installed  ## write docs/api.md from the API's description
	$(BIN)/python -m dev.api_reference

providers: .venv/.installed  ## write docs/providers.md from the catalog
	$(BIN)/python -m dev.provider_table

schema: .venv/.installed  ## write providers/catalog.schema.json, by which editors check catalog files
	$(BIN)/python -m dev.catalog_schema

lock:  ## pin the dependencies of pyproject.toml (needs uv)
	@$(UV) --version >/dev/null 2>&1 || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	$(LOCK) --all-extras --group dev pyproject.toml -o requirements.txt
	$(LOCK) --extra service pyproject.toml -o requirements-service.txt

clean:  ## remove .venv, the development state in .everlink, and caches
	rm -rf .venv .everlink .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Everlink needs Python 3.11 or newer, which '$(PYTHON)' is not; try: make $(MAKECMDGOALS) PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "'$(PYTHON)' has no venv module; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
