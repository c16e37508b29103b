# Two commands on a fresh machine: `make demo` runs the main job on bundled pictures, `make test` the tests.
# Any Python from 3.11 on: make demo PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
VERSION := -c 'import sys; print("3.%d" % sys.version_info[1])' 2>/dev/null
INSTALLED := $(VENV)/.installed-$(shell $(PYTHON) $(VERSION))

.PHONY: demo install test bench fuzz soak lint lock clean

demo: $(INSTALLED)
	$(VENV)/bin/hinas demo --workdir runs/demo

install: $(INSTALLED)

# all tests, or those named: make test TESTS=tests/test_cell.py
TESTS ?=
test: $(INSTALLED) lint
	JAX_PLATFORMS=cpu $(VENV)/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(TESTS)

# with PyTorch beside us where it is installed: $(VENV)/bin/pip install torch
bench: $(INSTALLED)
	$(VENV)/bin/python benchmarks/bench.py --out runs/bench/bench.json
	$(VENV)/bin/python benchmarks/tables.py runs/bench/bench.json

# more than ten thousand bad pictures, architectures, configs and model files; `make test` tries the first of them
fuzz: $(INSTALLED)
	HINAS_FUZZ=15 JAX_PLATFORMS=cpu $(VENV)/bin/python -m pytest -q tests/test_bad_input.py

# a search and a training killed, damaged and starved, in rounds, for so many minutes: make soak SOAK=5
SOAK ?= 60
soak: $(INSTALLED)
	JAX_PLATFORMS=cpu $(VENV)/bin/python benchmarks/soak.py --minutes $(SOAK) --out runs/soak

lint: $(INSTALLED)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	@test "$$($(VENV)/bin/python $(VERSION))" = "$$($(PYTHON) $(VERSION))" || \
	  { echo "$(VENV) is of another Python than $(PYTHON); name another folder: make $(MAKECMDGOALS)" \
	    "PYTHON=$(PYTHON) VENV=.venv-other, or remove it: make clean"; exit 2; }
	@echo "installing into $(VENV) (a minute or two) ..."
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements.lock
	@$(VENV)/bin/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# needs uv; writes names, versions, markers and hashes, no addresses
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-header --quiet --output-file requirements.lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
