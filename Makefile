# make demo    set up, then learn scikit-learn's digits without one of them, and find it
# make test    set up, then the tests
# make coverage   set up, then the tests again, which must cover what pyproject.toml says; a third slower
# make check   set up, then lint, format and types, the documentation and the wheel
# make docs    set up, then build the documentation site: open build/docs/index.html
# make wheel   set up, then build the wheels, install each into an environment of its own, run the demo, score without torch
# make examples   set up, then run the notebooks again and keep their outputs, some minutes
# make bench   set up, then oddgan's speed beside its peers'; hours, on a machine that does nothing else
# make clean   remove what demo, test, check and docs leave behind; the environment stays (rm -rf .venv removes it)
#
# PYTHON chooses the interpreter of the environment: make demo PYTHON=python3.12
# TORCH_INDEX names an extra package index. On Linux PyTorch's own CPU index keeps gigabytes of CUDA away; its address
# is on PyTorch's installation page: make demo TORCH_INDEX=https://...

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
READY = $(VENV)/.ready

.PHONY: demo test coverage check docs wheel examples bench clean setup

demo: setup
	$(BIN)/oddgan demo

# Tests start hundreds of processes, which start in half the time where Python keeps its bytecode.
test coverage: export PYTHONDONTWRITEBYTECODE =

test: setup
	$(BIN)/python -m pytest -n 2

coverage: setup
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/build.py
	$(BIN)/python tests/wheel_check.py

docs: setup
	$(BIN)/python docs/build.py

wheel: setup
	$(BIN)/python tests/wheel_check.py

examples: setup
	$(BIN)/python examples/run.py

bench: setup
	$(BIN)/python -m benchmarks.speed

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and "oddgan needs Python 3.11 or newer and $(PYTHON) is %d.%d; try: make PYTHON=python3.11" % v[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e ".[dev]"
	@touch $@

clean:
	rm -rf demo-output dist build .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
	find src tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
