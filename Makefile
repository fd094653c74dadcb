# Consentry: make demo | test | check | serve | bench.  Everything that is made lies in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/cache/pycache
export HYPOTHESIS_STORAGE_DIRECTORY := $(CURDIR)/$(VENV)/cache/hypothesis

.PHONY: demo serve setup test check bench clean

demo: setup
	@$(BIN)/consentry demo

serve: setup
	@$(BIN)/consentry serve

setup: $(VENV)/.runtime

test: $(VENV)/.dev
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

check: $(VENV)/.dev
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.bench

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { echo 'Consentry runs on Python 3.11 to 3.14, which its locked dependencies are built for: make PYTHON=python3.13'; exit 1; }
	@echo 'making .venv ...'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo 'No .venv was made: do what it says above, then call make again'; exit 1; }
	@echo '*' > $(VENV)/.gitignore

$(VENV)/.runtime: $(BIN)/python .ci/lock/runtime.txt pyproject.toml
	@echo 'installing locked dependencies ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/lock/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime .ci/lock/dev.txt
	@echo 'installing locked test tools ...'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r .ci/lock/dev.txt
	@touch $@
