# `make demo` sets everything up and runs the water example; `make test` runs the tests.
PYTHON ?= python3
BIN = .venv/bin

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -e '.[test]'
	touch .venv/ready

setup: .venv/ready

demo: .venv/ready
	$(BIN)/densnet run examples/water.toml

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

lint: .venv/ready
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

.PHONY: setup demo test lint types
