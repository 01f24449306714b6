# Everything runs in .venv, which the first target that needs it makes. PYTHON=python3.12 chooses another Python.
PYTHON ?= python3
VENV ?= .venv
IN_VENV := $(VENV)/bin/
DATABASE = $(if $(STUDY),multirun/$(STUDY)/study.db,$(shell ls -t multirun/*/study.db 2>/dev/null | head -n 1))
# Extras of pyproject.toml for `make install` and the tests: EXTRAS=dev,ray,slurm
EXTRAS ?= dev

# make install LOCKED=1 installs exactly what requirements.lock names.
LOCKED ?=

# What `make test-lowest` runs.
LOWEST_TESTS ?= tests/config tests/data tests/models tests/training tests/runs tests/sweeps

.DEFAULT_GOAL := help
.PHONY: help install lock train test test-all test-trains test-lowest lint format bench demo predict read images-are-named tensorboard dashboard clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

install: $(VENV)/.installed-dev  ## make .venv with all that tests and development need

lock: $(VENV)/.installed-dev  ## write requirements.lock: the versions in .venv, with the hashes of their files
	$(IN_VENV)python -m pip install --quiet uv
	$(IN_VENV)python -m pip freeze --exclude-editable | grep '==' > $(VENV)/versions.txt
	UV_CUSTOM_COMPILE_COMMAND='make lock' $(IN_VENV)uv pip compile pyproject.toml --quiet --extra dev --universal \
		--python-version 3.11 --prerelease if-necessary-or-explicit --constraint $(VENV)/versions.txt \
		--generate-hashes --no-annotate --output-file requirements.lock

train: $(VENV)/.installed  ## a first training run, of half a minute to a minute: then look into outputs/
	$(IN_VENV)python src/train.py experiment=quickstart

test: $(VENV)/.installed-dev  ## the tests, in ten to twenty minutes on two cores
	$(IN_VENV)python -m pytest -q -n auto --dist worksteal

test-all: $(VENV)/.installed-dev  ## the tests, the slow ones too
	$(IN_VENV)python -m pytest -q -n auto --dist worksteal -m "slow or not slow"

test-trains: $(VENV)/.installed-dev  ## those tests that train, as far as they are not slow
	$(IN_VENV)python -m pytest -q -n auto --dist worksteal -m "trains and not slow"

test-lowest: $(VENV)-lowest/.installed  ## tests with the lowest versions that pyproject.toml allows, in $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pytest -q -n auto --dist worksteal $(LOWEST_TESTS)

$(VENV)-lowest/.installed: pyproject.toml | $(VENV)/.installed-dev
	$(IN_VENV)python -m pip install --quiet uv
	$(IN_VENV)uv venv --quiet --clear --python $(VENV)/bin/python $(VENV)-lowest
	$(IN_VENV)uv pip install --quiet --python $(VENV)-lowest --resolution lowest-direct --prerelease allow \
		--editable . 'pytest>=8.3' 'pytest-xdist>=3.6'
	@touch $@

lint: $(VENV)/.installed-dev  ## style, format and types
	$(IN_VENV)ruff check .
	$(IN_VENV)ruff format --check .
	$(IN_VENV)mypy

format: $(VENV)/.installed-dev  ## mend style and format
	$(IN_VENV)ruff check --fix .
	$(IN_VENV)ruff format .

bench: $(VENV)/.installed  ## speed of the training loop, against the bare step and the usual loop
	$(IN_VENV)python benchmarks/training_loop.py

demo: $(VENV)/.installed-demo  ## a page that reads the number in a photo, at http://localhost:7860; no training needed
	$(IN_VENV)python src/demo.py $(if $(RUN),"run=$$RUN")

predict: images-are-named $(VENV)/.installed  ## the digit that each image shows: IMAGES=FILE or FOLDER; no training needed
	@$(IN_VENV)python src/predict.py "images=$$IMAGES" $(if $(RUN),"run=$$RUN")

read: images-are-named $(VENV)/.installed  ## the same for whole numbers
	@$(IN_VENV)python src/read.py "images=$$IMAGES" $(if $(RUN),"run=$$RUN")

images-are-named:
	@test -n "$$IMAGES" || { echo "error: IMAGES: must be given: make $(MAKECMDGOALS) IMAGES=photo.png, or a folder" >&2; exit 1; }

tensorboard: $(VENV)/.installed  ## TensorBoard on all runs, at http://localhost:6006
	$(IN_VENV)tensorboard --logdir_spec outputs:outputs,multirun:multirun --host localhost

dashboard: $(VENV)/.installed-dashboard  ## optuna-dashboard on the newest study, or STUDY=NAME, at http://localhost:8080
	@test -f "$(DATABASE)" || { echo "error: no study $(STUDY) in multirun/: begin one with python src/train.py -m hydra/sweeper=optuna" >&2; exit 1; }
	$(IN_VENV)optuna-dashboard "sqlite:///$(DATABASE)" --host 127.0.0.1 --port 8080

clean:  ## remove .venv and caches; runs stay
	rm -rf $(VENV) $(VENV)-lowest .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "error: $(PYTHON) is not Python 3.11 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.12, say" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(IN_VENV)python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/bin/python pyproject.toml
	$(if $(LOCKED),$(IN_VENV)python -m pip install --quiet --require-hashes --requirement requirements.lock)
	$(IN_VENV)python -m pip install --quiet $(if $(LOCKED),--no-deps --editable .,--editable '.[$(EXTRAS)]')
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dashboard $(VENV)/.installed-demo: $(VENV)/.installed-%: $(VENV)/.installed
	$(IN_VENV)python -m pip install --quiet --editable '.[$*]'
	@touch $@
