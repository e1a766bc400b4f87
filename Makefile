# make demo   the main job on the bundled shot, from a fresh clone
# make test   the whole test suite, from a fresh clone
# make docs   the manual, into site/
# make bench  one page of timings of stages, peers, memory and scaling
# make lint, make types, make wheel, make clean
#
# Everything runs in .venv, made here. PYTHON names the interpreter that makes it.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
OUT ?= demo_out
WHEELS ?= dist
PYTEST_ARGS ?=

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt
PACKAGING := setup.py pyproject.toml requirements/constraints.txt

.PHONY: help demo test docs bench lint types wheel clean

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

demo: .venv/installed
	$(BIN)/bodydouble demo -o "$(OUT)"
	@echo "The pictures are in $(OUT)/"

test: .venv/installed-test
	$(BIN)/python -m pytest --durations=10 $(PYTEST_ARGS)

docs: .venv/installed-test
	$(BIN)/python -m mkdocs build --strict
	@echo "Open site/index.html"

bench: .venv/installed-bench
	$(BIN)/python benchmarks/bench.py

lint: .venv/installed-test
	$(BIN)/ruff check .

types: .venv/installed-test
	$(BIN)/mypy
	$(BIN)/mypy --config-file nuke_plugin/mypy.ini

wheel: .venv/installed-test
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps -w "$(WHEELS)" .

clean:
	rm -rf .venv build dist site demo_out .pytest_cache .mypy_cache .ruff_cache engine/*.egg-info cli/*.egg-info *.egg-info

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "No python3.11 found. Install Python 3.11 or 3.12, or say: make PYTHON=/path/to/python3.11"; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' || \
		{ echo "$(PYTHON) is $$("$(PYTHON)" -V 2>&1). Bodydouble needs 3.11 or 3.12: make PYTHON=/path/to/python3.11"; exit 2; }
	"$(PYTHON)" -m venv .venv

# Stamps: a second call installs nothing unless the packaging changed.
.venv/installed: .venv/bin/python $(PACKAGING)
	@echo "Installing into .venv (once; some minutes and about 2 GB) ..."
	$(PIP_INSTALL) setuptools wheel
	$(PIP_INSTALL) -e .
	@touch $@

.venv/installed-test: .venv/installed
	$(PIP_INSTALL) -e ".[dev]"
	@touch $@

.venv/installed-bench: .venv/installed
	$(PIP_INSTALL) -e ".[bench]"
	@touch $@
