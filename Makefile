# taskq: every target does its own set-up in .venv; nothing but Python 3.11, make and git is needed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.ready
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --group dev -e '.[all]'
	@touch $@

setup: $(STAMP) ## make .venv with everything for development

demo: $(STAMP) ## a mission of agents on real files, a killed worker included (ARGS=--keep leaves it running)
	@$(BIN)/python bin/demo $(ARGS)

test: $(STAMP) ## every test, on a real Postgres and in a real browser (ARGS=... goes to pytest)
	@bin/browser
	@$(BIN)/python -m pytest -n auto $(ARGS)

lint: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint test ## what CI runs: format, lint, types, import floors, then every test

bench: $(STAMP) ## the measurements, beside the peers and the prototype (minutes; ARGS=drain for one)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --group bench
	@$(BIN)/python -m bench $(ARGS)

format: $(STAMP) ## format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: help setup demo test lint check bench format
