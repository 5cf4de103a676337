# Ropeway: every habit is one command. `make` alone lists them.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH := .venv-bench
TOOLS := ip:iproute2 fusermount3:fuse3 nginx:nginx sshd:openssh-server chromium:chromium
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test soak fuzz tables lint types bench bench-service clean

help:  ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

demo: $(READY)  ## set up, then pack, serve, query, train, kill, resume and prove on real files
	$(BIN)/ropeway demo $(ARGS)

test: $(READY)  ## set up, then run all tests
	@lacking=$$(for pair in $(TOOLS); do PATH="$$PATH:/usr/sbin" command -v $${pair%%:*} >/dev/null || echo $${pair##*:}; done); \
	test -z "$$lacking" || { test "$$(id -u)" = 0 && apt-get update -qq \
		&& DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$lacking; } \
		|| echo "without $$lacking some tests will skip" >&2
	$(BIN)/pytest -n 3 --dist loadgroup $(ARGS)

soak: $(READY)  ## 200 random schedules of kills and resizes, held against uninterrupted runs (minutes)
	$(BIN)/python tests/soak.py $(ARGS)

fuzz: $(READY)  ## damage every recipe's raw files at random, 200 times each (half an hour)
	ROPEWAY_FUZZ=$${ROPEWAY_FUZZ:-200} $(BIN)/pytest -n 2 --timeout 3600 tests/test_adapters_fuzz.py $(ARGS)

tables: $(READY)  ## write the README's table of recipes anew
	PYTHONPATH=tests $(BIN)/python tests/climb_table.py README.md

lint: $(READY)  ## style, unused code, import directions
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(READY)  ## mypy (strict) and pyright
	$(BIN)/mypy
	$(BIN)/pyright

bench: $(BENCH)/main/.ready $(BENCH)/mosaic/.ready  ## measure against rivals and the machine's limits (80 min; ARGS=--quick: 5 min)
	PYTHONPATH=tests $(BENCH)/main/bin/python -m benchmarks run --mosaic-python $(BENCH)/mosaic/bin/python $(ARGS)

bench-service: $(READY)  ## measure the service on 4.51 M rows of 45 datasets (minutes)
	PYTHONPATH=tests $(BIN)/python -m benchmarks service $(ARGS)

clean:  ## remove everything that make made
	rm -rf $(VENV) $(BENCH) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find client server shardgen tests -name __pycache__ -type d -prune -exec rm -rf {} +

# One environment for everything. A machine without the venv module gets it where it may (Debian, root). torchvision is
# apart, for one test: its only wheel is for CUDA, fails to import beside a torch for CPUs, and transformers would try.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Ropeway needs Python 3.11 or newer: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv; } \
		|| { echo "Python's venv module is missing: install your system's python3-venv" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps --upgrade \
		--target $(VENV)/vision torchvision
	@touch $@

# The rivals of `make bench`. Theirs are environments apart: the project never needs them.
$(BENCH)/main/.ready: tests/benchmarks/requirements.txt pyproject.toml constraints.txt | $(READY)
	@test -x $(BENCH)/main/bin/python || $(PYTHON) -m venv $(BENCH)/main
	grep -v '^boto3==' constraints.txt > $(BENCH)/constraints.txt
	$(BENCH)/main/bin/python -m pip install --quiet --disable-pip-version-check -c $(BENCH)/constraints.txt \
		-r $< -e '.[demo,plot]'
	@touch $@

$(BENCH)/mosaic/.ready: tests/benchmarks/requirements-mosaic.txt | $(READY)
	@test -x $(BENCH)/mosaic/bin/python || $(PYTHON) -m venv $(BENCH)/mosaic
	$(BENCH)/mosaic/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
