# Two commands do it all on a fresh machine: make demo, make test. Each sets up .venv itself.
# The distribution's Python first, where it is new enough: it is built with optimisation by profile, which a Python built
# by hand often is not, and the adapter then takes a quarter more time. PYTHON=… names another.
USABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for each in /usr/bin/python3 python3; do $$each -c "$(USABLE)" 2>/dev/null && echo $$each && break; done || echo python3)
BIN := .venv/bin

.PHONY: demo test check bench coverage install clean

.venv/installed: requirements.txt requirements-dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -r requirements-dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

install: .venv/installed

demo: .venv/installed
	$(BIN)/adapter demo

# Two workers; a file's tests stay together, and files begin in order, so that the long runs of kills are not the last.
# JOBS=0 runs all in one process. Bytecode is kept whatever the environment says: without it, half a minute goes by in
# compiling the tests and the programs that they start.
JOBS ?= 2
test: .venv/installed
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest tests -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: .venv/installed
	$(BIN)/ruff check adapter tests
	$(BIN)/ruff format --check adapter tests
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: .venv/installed
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest tests -n $(JOBS) --dist loadfile --no-loadscope-reorder \
		--cov=adapter --cov-report=term:skip-covered --cov-fail-under=95

bench: .venv/installed
	$(BIN)/python -m tests.bench

clean:
	rm -rf .venv demo-data
