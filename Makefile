# The one way in: `make` lists the targets. Each works alone, from a fresh clone, on a machine with python3, make and git.
# VENV=DIR puts the virtual environment elsewhere.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help venv demo test check bench clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP)  ## put rbinder and what its tests need into .venv

$(STAMP): pyproject.toml scripts/bootstrap
	scripts/bootstrap venv
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

demo: $(STAMP)  ## run the shop under rbinder and show one trace through its three services
	scripts/bootstrap demo
	$(PYTHON) examples/shop/run.py

test: $(STAMP)  ## install what the tests need and run them all (ARGS='-k name' passes options to pytest)
	scripts/bootstrap test
	$(PYTHON) -m pytest $(ARGS)

check: $(STAMP)  ## ruff and mypy --strict; changes nothing
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[check]'
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict

bench: $(STAMP)  ## throughput and stops per request, against the same program untouched and under strace
	scripts/bootstrap test
	$(PYTHON) bench/run.py

clean:  ## remove what the other targets made
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
