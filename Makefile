# Three commands matter: `make demo`, `make quick` and `make test`. Each sets up all it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where byte code is not written, each process of the tests compiles o1lab, and each session its tests: collecting them
# takes 39 s of processor time instead of 23.
export PYTHONDONTWRITEBYTECODE :=
STAMP := $(VENV)/.ready
# One worker more than there are processors, because many tests only wait, for a scheduler or for a killed process.
WORKERS ?= $(shell echo $$(($$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) + 1)))
# What `make test` runs of the demo.
DEMO ?= plumbing
ifneq ($(filter test,$(MAKECMDGOALS)),)
ifneq ($(filter-out plumbing whole,$(DEMO)),)
$(error DEMO is plumbing or whole, not '$(DEMO)')
endif
endif

.PHONY: help setup demo quick quick-newest test check pytest docs bench screenshots clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## the .venv, everything in it, and the embedded student

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "o1lab needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet -c constraints.txt --editable '.[train,cluster,web]' --group dev --group docs
	$(BIN)/o1lab models fetch
	touch $@

demo: setup ## the laboratory on its demo: a terminal opens the app, a pipe gets the table
	@$(BIN)/o1lab demo

quick: check ## what to run while you work: lint, format, types, contracts, fast unit tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -n auto --dist loadgroup -m 'not slow and not model'

quick-newest: setup ## the fast unit tests on the newest Python at hand, if it is newer than that of .venv
	.ci/quick-newest

test: check docs pytest ## everything, with a demo of the plumbing; DEMO=whole has the effect and a report, as CI does
	@folder=$$(mktemp -d) && trap 'rm -r "$$folder"; exit 130' INT TERM && \
	if $(BIN)/o1lab demo --headless --lab "$$folder/demo" \
		$(if $(filter whole,$(DEMO)),--report "$$folder/report",--plumbing); \
	then rm -r "$$folder"; \
	else status=$$?; echo "The demo failed. Its lab, with the logs of its jobs, is kept: $$folder/demo" >&2; exit $$status; fi

check: setup ## lint, format, types, import contracts, declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

pytest: setup ## the tests; EXHAUSTIVE=1 repeats each kill at every point, as CI does
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup --durations=15 $(if $(EXHAUSTIVE),--exhaustive)

docs: setup ## the documentation, in build/docs; a link or an anchor that leads nowhere fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file docs/mkdocs.yml

bench: setup ## measurements against peers, as ratios in one run
	@for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

screenshots: setup ## a picture of each screen, from the real program; LAB=DIR ONLY="traces train" need no model
	$(BIN)/python assets/screenshots/make.py $(LAB) $(if $(ONLY),--only $(ONLY))

clean: ## the environment and every cache of the checkout
	rm -rf $(VENV) .venv-newest .mypy_cache .ruff_cache .pytest_cache .import_linter_cache dist build
