# Everything runs in .venv, which is made when it is missing and refreshed when the package's
# metadata changes. PYTHON=python3.12 chooses the interpreter of a new .venv.
PYTHON ?= python3
VENV := .venv
# A process a core, each with one part of the tests in their order: neighbours share what they build.
PYTEST := -m pytest -n auto --dist worksteal
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test test-slow test-zoo lint format bench

install: $(INSTALLED)

$(INSTALLED): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo 'error: Python 3.10 to 3.13 is needed; name one: make PYTHON=python3.12 ...'; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo 'error: no venv; on Debian: apt-get install python3-venv'; exit 2; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,doctor,tensorboard]'
	@touch $@

# make demo IMAGES=folder CHECKPOINT=file MODEL=inception_v3 runs on your own pictures.
demo: install
	@$(BIN)/python scripts/demo.py $(if $(IMAGES),--images='$(IMAGES)') \
	  $(if $(CHECKPOINT),--checkpoint='$(CHECKPOINT)') $(if $(MODEL),--model='$(MODEL)')

test: install
	$(BIN)/python $(PYTEST)

test-slow: install
	$(BIN)/python $(PYTEST) -m slow

test-zoo: install
	$(BIN)/python $(PYTEST) -m zoo

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# make bench BENCH="--rows=head --repeat=5" chooses; see benchmarks/run.py --help.
bench: install
	$(BIN)/python benchmarks/run.py $(BENCH)
