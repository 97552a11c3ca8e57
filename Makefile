# Every target works on a machine with Python 3.11 or newer and nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: solve test test-slow test-slurm lint types bench docs-check clean
.DEFAULT_GOAL := test

# The environment is made anew whenever the requirements change.
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

.venv/ready-to-solve: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

solve: .venv/ready-to-solve
	$(BIN)/stde solve +experiment=quickstart

test: .venv/ready
	$(BIN)/pytest --numprocesses 2 --dist worksteal

test-slow: .venv/ready
	$(BIN)/pytest -m slow --numprocesses 2 --dist worksteal

# Sweeps on a real Slurm, which is installed where there is none, and started on this machine alone.
test-slurm: .venv/ready
	@command -v slurmctld munged > /dev/null || [ "$$(id -u)" = 0 ] || \
		{ echo "make test-slurm needs slurm-wlm and munge, or root to install them"; exit 2; }
	@command -v slurmctld munged > /dev/null || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge; }
	$(BIN)/pytest -m slurm tests/slurm

lint: .venv/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/pyright

bench: .venv/ready
	$(BIN)/stde bench dim=100000

docs-check: .venv/ready
	$(BIN)/pytest tests/end_to_end/test_docs.py

clean:
	rm -rf .venv dist build
