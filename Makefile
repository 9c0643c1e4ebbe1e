# Every target sets up .venv first when it is missing: Python 3.11 or newer and make suffice.
#   make PYTHON=/opt/python3.12/bin/python3 test     another Python
#   make EXTRAS=test test                            fewer tools in the environment

PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin

.PHONY: help demo test lint format bench docs wheel clean distclean
.DEFAULT_GOAL := help

help:
	@echo "make demo     cylinder wake: data, POD against autoencoders, forecast, archive, report (7 min)"
	@echo "make test     the whole test suite, and the examples of the documents"
	@echo "make lint     ruff, mypy, import-linter"
	@echo "make format   let ruff format and fix what it can"
	@echo "make bench    speed as ratios against peers and against the machine (1 min)"
	@echo "make docs     the documentation, in docs/_build/html"
	@echo "make wheel    the wheel, in dist/"
	@echo "make clean    remove what these made; distclean removes .venv too"

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@

demo: .venv/installed
	$(BIN)/romae run workflows/local/wake.toml -o runs/wake
	@echo "open runs/wake/report/index.html"

# One thread: the suite's many small products only lose time to two that wait for each other.
test: export OMP_NUM_THREADS ?= 1
test: .venv/installed
	$(BIN)/python -m pytest

lint: .venv/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed
	$(BIN)/python -m pytest benchmarks/test_ratios.py --benchmark-columns=median,iqr,rounds
	PYTHON=$(BIN)/python benchmarks/gpu.sh --size small

docs: .venv/installed
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "open docs/_build/html/index.html"

wheel: .venv/installed
	$(BIN)/python -m build --wheel

clean:
	rm -rf build dist docs/_build .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf .import_linter_cache
	find romae tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv
