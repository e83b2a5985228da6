# The one way in: `make` lists the targets. Each works alone, from a fresh clone, on a machine with python3, make and git.
# VENV=DIR puts the virtual environment elsewhere.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
AGENT := rbinder/agent/agent-$(shell uname -m).so
MACHINES := x86_64 aarch64

.DEFAULT_GOAL := help
.PHONY: help venv demo test check bench bench-compare micro soak attribution wheel clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

venv: $(STAMP)  ## put rbinder and what its tests need into .venv

$(STAMP): pyproject.toml setup.py scripts/bootstrap
	scripts/bootstrap venv
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@

$(AGENT): $(STAMP) $(wildcard rbinder/agent/src/* rbinder/agent/jvm/*/*/*/*.java) rbinder/agent/build.py rbinder/agent/java.py
	scripts/bootstrap agent
	$(PYTHON) -m rbinder.agent.build

demo: $(STAMP)  ## run the shop under rbinder and show one trace through its three services
	scripts/bootstrap demo
	$(PYTHON) examples/shop/run.py

test: $(STAMP) $(AGENT)  ## install what the tests need and run them all (ARGS='-k name' passes options to pytest)
	scripts/bootstrap test
	$(PYTHON) -m pytest $(ARGS)

check: $(STAMP)  ## ruff and mypy --strict; changes nothing
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[check]'
	$(PYTHON) -m ruff check .
	$(PYTHON) -m mypy --strict

bench: $(STAMP) $(AGENT)  ## write docs/benchmarks.md, in fifty minutes (QUICK=1: a first look; ARGS="Node C": these alone)
	scripts/bootstrap bench
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(PYTHON) bench/run.py $(if $(QUICK),--quick) $(ARGS)

bench-compare: $(STAMP)  ## tell in what two runs differ: A=old.json B=new.json, both benchmarks.json of make bench
	$(PYTHON) bench/compare.py $(A) $(B)

micro: $(STAMP) $(AGENT)  ## what the parts cost: a head, a span, a record, a stop
	scripts/bootstrap agent
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --editable '.[test,bench]'
	$(PYTHON) -m pytest bench/micro -q --benchmark-columns=median,iqr,rounds $(ARGS)

soak: $(STAMP) $(AGENT)  ## load while endpoint, workers and collectors come and go (MINUTES=10): nothing fails, nothing grows
	scripts/bootstrap bench
	$(PYTHON) bench/soak.py $(MINUTES)

attribution: $(STAMP) $(AGENT)  ## whose call was it: right, wrong, unbound in every runtime, into docs/attribution.md
	scripts/bootstrap attribution
	$(PYTHON) tests/attribution/run.py $(ARGS)

wheel: $(STAMP)  ## build one wheel for x86-64 and aarch64, glibc and musl, into dist, and try it in a fresh venv
	scripts/bootstrap wheel
	$(PYTHON) -m rbinder.agent.build $(MACHINES)
	rm -rf build dist
	RBINDER_MACHINES='$(MACHINES)' $(PYTHON) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	python3 -m venv build/venv
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check dist/rbinder-*.whl
	cd build && venv/bin/rbinder -v -e agent -x none -- venv/bin/python -c 'import rbinder; print(rbinder.__file__)'

clean:  ## remove what the other targets made
	rm -f rbinder/agent/*.so
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
