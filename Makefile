# Two commands on a fresh machine:
#   make demo   build ./yolov5 for Cambricon's MLU and train it for a minute or two (on the CPU without a card)
#   make test   what shows a fault in seconds, about four minutes; make test-all the rest, too
# Both make .venv first, with nothing needed but Python 3.9 or newer, git and a package index.
#
# With a vendor's own torch (in its container, say), keep it:
#   make demo TORCH= VENVFLAGS=--system-site-packages
# With the small CPU build of torch, where the package index gives the CUDA one:
#   make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"

.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV ?= .venv
VENVFLAGS ?=
# the newest torch that all of this is tested with, or the newest that Python 3.9 can have
TORCH ?= torch==$(shell $(PYTHON) -c 'import sys; print("2.8.0" if sys.version_info < (3, 10) else "2.13.0")')
export DEVICE ?=
PYTEST_ARGS ?=

py := $(VENV)/bin/python
pip := $(py) tools/install.py
# strictly: a link that leads nowhere is an error
build_docs := NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict --quiet

.PHONY: help demo test test-all lint docs matrix release-check clean

help:
	@sed -n 's/^#   \(make .*\)/\1/p' Makefile

# A stamp is written when its step is complete, so an interrupted one is done again.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 9) and "porter needs Python 3.9 or newer: make PYTHON=...")'
	$(PYTHON) -m venv $(VENVFLAGS) $(VENV)
	@touch $@

# torch on its own, pinned and first. The stamp holds what is there then, a vendor's packages among it, as constraints
# for pip: nothing that comes later may choose another.
$(VENV)/.torch: $(VENV)/.made
	@$(if $(strip $(TORCH)),$(pip) $(TORCH))
	@$(py) -m pip --disable-pip-version-check list --format=freeze | grep -E '^(torch|numpy|opencv|pandas|[Pp]illow|protobuf|scipy)[^=]*==' > $@ || true
	@grep -q '^torch==' $@ || { echo "make: there is no torch in $(VENV), and TORCH names none" >&2; exit 1; }

$(VENV)/.train: $(VENV)/.torch pyproject.toml
	@$(pip) -c $(VENV)/.torch -e '.[train]'
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@$(pip) -c $(VENV)/.torch -e '.[train,dev]'
	@touch $@ $(VENV)/.train

# DEVICE=emulated trains on an emulated card, DEVICE=0 on CUDA
demo: $(VENV)/.train
	@$(py) tools/demo.py --target mlu ./yolov5

# a process a core, each with one thread; what a shell has set for git, pip or a trainer stays
test test-all: export OMP_NUM_THREADS ?= 1
test: $(VENV)/.dev
	$(py) -m pytest -n auto -m "not long" $(PYTEST_ARGS) tests

test-all: $(VENV)/.dev
	$(py) -m pytest -n auto $(PYTEST_ARGS) tests

lint: $(VENV)/.dev
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict porter
	$(VENV)/bin/lint-imports --no-cache --no-logo
	$(build_docs)

docs: $(VENV)/.dev
	$(build_docs)
	@echo "build/site/index.html"

matrix: $(VENV)/.dev
	$(VENV)/bin/nox -s mlu tpu latest

# what .github/workflows/release.yml makes and tries before it publishes; into dist/. TORCH is for all of its Pythons,
# so none is named unless it is said.
release-check: $(VENV)/.dev
	$(VENV)/bin/nox -s release
	$(VENV)/bin/nox -s installed $(if $(filter-out file,$(origin TORCH)),-- $(TORCH))
	@$(py) tools/release.py links dist

# ./yolov5 is a repository that may hold somebody's work: it is not make's to remove
clean:
	rm -rf $(VENV) demo-data demo.log demo.json demo.yaml build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .ci/log
	@[ ! -e yolov5 ] || echo "yolov5/ is left as it is: remove it yourself if nothing in it is yours"
