# Everything runs in .venv, which the first target that needs it makes. PYTHON=python3.12 chooses another Python.
PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/

.DEFAULT_GOAL := help
.PHONY: help install train test test-all lint format bench tensorboard clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

install: $(VENV)/.installed-dev  ## make .venv with all that tests and development need

train: $(VENV)/.installed  ## a first training run, in under a minute: then look into outputs/
	$(IN_VENV)python src/train.py experiment=quickstart

test: $(VENV)/.installed-dev  ## the tests, in under ten minutes
	$(IN_VENV)python -m pytest -q -n auto

test-all: $(VENV)/.installed-dev  ## the tests, the slow ones too
	$(IN_VENV)python -m pytest -q -n auto -m "slow or not slow"

lint: $(VENV)/.installed-dev  ## style, format and types
	$(IN_VENV)ruff check .
	$(IN_VENV)ruff format --check .
	$(IN_VENV)mypy

format: $(VENV)/.installed-dev  ## mend style and format
	$(IN_VENV)ruff check --fix .
	$(IN_VENV)ruff format .

bench: $(VENV)/.installed  ## speed of the training loop, against the bare step and the usual loop
	$(IN_VENV)python benchmarks/training_loop.py

tensorboard: $(VENV)/.installed  ## TensorBoard on all runs, at http://localhost:6006
	$(IN_VENV)tensorboard --logdir_spec outputs:outputs,multirun:multirun --host localhost

clean:  ## remove .venv and caches; runs stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "error: $(PYTHON) is not Python 3.11 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.12, say"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(IN_VENV)python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	$(IN_VENV)python -m pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.installed
