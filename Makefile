# Two commands: `make run` does the main job on real data, `make test` runs everything.
PYTHON ?= python3
BIN := .venv/bin

# The torch that the tests run with; lamina itself takes any from 2.11 on, below 3.
TORCH ?= torch==2.13.0

# One process of one thread for each core, at most four: each holds torch.
PARALLEL := --numprocesses logical --maxprocesses 4 --dist worksteal

.PHONY: run test tiny check wheel lowest lowest-tiny clean

run: .venv/.installed
	$(BIN)/python examples/adult.py

test: .venv/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(PARALLEL)

tiny: .venv/.installed
	$(BIN)/python -m pytest -m tiny tests

check: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

# torch first and by itself: a package that asks for it would otherwise choose the build.
.venv/.installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

# The wheel in an environment of its own, away from the source: what a person gets from the index.
wheel:
	rm -rf build .venv-wheel && $(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	.venv-wheel/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)" "$$(ls -t $(CURDIR)/dist/lamina-*.whl | head -1)"
	printf 'x,y\n%s' "$$(seq -f '%g,low' 20; seq -f '%g,high' 80 99)" > .venv-wheel/table.csv
	cd .venv-wheel && bin/lamina fit table.csv --target y --out table.lamina && bin/lamina predict table.lamina table.csv | tail -1

# All tests, or the tiny ones, with the lowest versions that pyproject.toml admits; the warning is of scikit-learn.
LOWEST := .venv-lowest/bin/python -m pytest -W "ignore:Support for the dataframe interchange protocol:DeprecationWarning"

lowest: .venv-lowest/.installed
	OMP_NUM_THREADS=1 $(LOWEST) $(PARALLEL)

lowest-tiny: .venv-lowest/.installed
	$(LOWEST) -m tiny tests

.venv-lowest/.installed: pyproject.toml .ci/lowest.txt
	test -x .venv-lowest/bin/python || $(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c .ci/lowest.txt -e ".[test]"
	touch $@

clean:
	rm -rf .venv .venv-* build dist *.egg-info
