# The two commands of the README are `make demo` and `make test`; CI runs `make check` and `make test-all`.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

# A real Slurm on this machine, made of Debian's packages by a script of the optional test data (CONTRIBUTING.md).
SLURM := $(or $(HEAP_SHARED),../shared)/tools/one-node-slurm

.PHONY: help demo test test-slow test-slurm test-all check lint format types workflow docs pins schema clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

$(INSTALLED): pyproject.toml envs/lock.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "HEAP needs Python 3.11 or newer; set one with: make PYTHON=python3.11 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(INSTALLED)  ## install, then find the objects of the embedded scenes: table and report, offline
	$(BIN)/snakemake --cores all results/demo_metrics.csv results/report/demo.html
	$(BIN)/heap show results/demo_metrics.csv
	@echo "pictures: results/report/demo.html   masks: results/masks/scenes/"

# pytest exits with 5 when it ran no test, which make reports as a failure.
PYTEST := $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

test: $(INSTALLED)  ## install, then run the quick tests: minutes, without root, browser, scheduler or network
	$(PYTEST) -m 'not slow'

test-slow: $(INSTALLED)  ## the rest: whole runs, kills, full disks, fuzz, browser, schedulers
	$(PYTEST) -m slow

test-all:  ## every test, as CI runs them: the quick ones, the rest, and a real Slurm
	$(MAKE) test
	$(MAKE) test-slow
	$(MAKE) test-slurm

test-slurm: $(INSTALLED)  ## run the demo through a real Slurm that is started for it, or that HEAP_SLURM=account:partition names
	@if [ -n "$$HEAP_SLURM" ]; then exec $(BIN)/python -m pytest tests/schedulers/test_slurm.py; fi; \
	if [ ! -x $(SLURM) ]; then echo "skipped: no Slurm here (HEAP_SLURM is not set, $(SLURM) is not there)"; exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then echo "skipped: $(SLURM) needs root"; exit 0; fi; \
	trap '$(SLURM) stop' EXIT; \
	if ! $(SLURM) start; then \
		command -v slurmdbd >/dev/null || { echo "skipped: Slurm could not be installed"; exit 0; }; \
		exit 1; \
	fi; \
	HEAP_SLURM=test:cpu $(BIN)/python -m pytest tests/schedulers/test_slurm.py

check: lint types workflow docs  ## everything that CI checks besides the tests

lint: $(INSTALLED)  ## style of Python and of the workflow, and which module may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/snakefmt --check Snakefile workflow

types: $(INSTALLED)  ## static types
	$(BIN)/mypy

workflow: $(INSTALLED)  ## Snakemake's own linter
	$(BIN)/snakemake --lint

docs: $(INSTALLED)  ## the documentation as a site in site/, without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(INSTALLED)  ## rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

schema: $(INSTALLED)  ## regenerate workflow/schemas after an edit of heap/settings
	$(BIN)/heap schema

pins: $(INSTALLED)  ## write envs/ from what is installed, after testing an upgrade
	$(BIN)/python envs/pin.py

clean:  ## remove results and the environment; downloaded datasets under resources/ stay
	rm -rf .venv results .snakemake
