# Two commands: `make run` does the main job on real data, `make test` runs everything.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test tiny check clean

run: .venv/.installed
	$(BIN)/python examples/adult.py

test: .venv/.installed
	$(BIN)/python -m pytest

tiny: .venv/.installed
	$(BIN)/python -m pytest -m tiny tests

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# torch first and by itself: a package that asks for it would otherwise choose the build.
.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "torch>=2.11,<2.14"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build *.egg-info
