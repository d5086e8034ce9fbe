# Two commands matter: `make demo` and `make test`. Each sets up all it needs; a second run starts in seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: help setup demo test check pytest bench screenshots clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## the .venv, everything in it, and the embedded student

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "o1lab needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable '.[train,cluster]' --group dev
	$(BIN)/o1lab models fetch
	touch $@

demo: setup ## the laboratory on its demo: a terminal opens the app, a pipe gets the table
	@$(BIN)/o1lab demo

test: check pytest ## everything CI runs
	$(BIN)/o1lab demo --headless

check: setup ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

pytest: setup ## the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup --durations=15

bench: setup ## measurements against peers, as ratios in one run
	@for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

screenshots: setup ## the pictures of the README, from the real program; LAB=DIR ONLY="traces train" need no model
	$(BIN)/python assets/screenshots/make.py $(LAB) $(if $(ONLY),--only $(ONLY))

clean: ## the environment and every cache of the checkout
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build
