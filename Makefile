# `make demo` sets everything up and runs the water example; `make test` checks and tests; `make docs` builds the documentation in site/.
PYTHON ?= python3
BIN = .venv/bin
# A process on each core; tests share no files, ports or caches.
PYTEST = -m pytest --numprocesses logical --maxprocesses 8 --dist worksteal

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0
	$(BIN)/pip install --quiet -e '.[test]'
	touch .venv/ready

setup: .venv/ready

demo: .venv/ready
	$(BIN)/densnet run examples/water.toml

test: lint types
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST)

lint: .venv/ready
	$(BIN)/ruff check .

types: .venv/ready
	$(BIN)/mypy

coverage: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python $(PYTEST) --cov=densnet --cov-report=term:skip-covered

test-oldest: tests/oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet -r tests/oldest.txt
	.venv-oldest/bin/pip install --quiet -e '.[test]' -c tests/oldest.txt
	OMP_NUM_THREADS=1 .venv-oldest/bin/python $(PYTEST) -o filterwarnings=default   # deprecations among third parties of different age are theirs

docs: .venv/ready
	$(BIN)/pip install --quiet -e '.[docs]'
	$(BIN)/mkdocs build

.PHONY: setup demo test lint types coverage test-oldest docs
