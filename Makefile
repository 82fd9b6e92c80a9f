# Nocturne's commands. `make` alone lists them.

VENV ?= .venv
JOBS ?= 3
MINUTES ?= 10
SEED ?= 1
PY := $(VENV)/bin/python
export VENV
# Containers often set it, and then every process of a test compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev run test check check-types check-rest services browser soak bench clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## make the environment in .venv; again only after pyproject.toml or constraints.txt changed
	@.ci/setup run

setup-dev:  ## the same with what tests and checks need
	@.ci/setup dev

run: setup  ## start everything; options go in ARGS, for example ARGS="--port 8500"
	@exec $(PY) manage.py up $(ARGS)

test: setup-dev  ## the fast tests; options for pytest go in ARGS
	@$(PY) -m pytest -n $(JOBS) $(ARGS)

check: setup-dev  ## style, types, boundaries, migrations, deploy settings
	@$(MAKE) --no-print-directory --jobs 2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) check-types check-rest

check-types:
	$(VENV)/bin/mypy

check-rest:
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/lint-imports
	@scratch=$$(mktemp -d) && trap 'rm -rf "$$scratch"' EXIT && export NOCTURNE_DATA="$$scratch" && set -ex && \
	$(PY) -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run && \
	NOCTURNE_URL=https://nocturne.example $(PY) manage.py check --deploy --fail-level WARNING

services: setup-dev  ## tests against real services; needs DATABASE_URL and CELERY_BROKER_URL
	@$(PY) -m pytest -m services $(ARGS)

browser: setup-dev  ## tests that drive Chromium
	@$(PY) -m pytest -m browser -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: setup-dev  ## kill real workers for MINUTES=10 from SEED=1 and judge what is left; options go in ARGS
	@$(PY) -m tests.chaos.soak --minutes $(MINUTES) --seed $(SEED) $(ARGS)

bench: setup-dev  ## measure the live view; options go in ARGS, for example ARGS="--only paint"
	@$(PY) -m tests.bench.live $(ARGS)

clean:  ## remove caches and build output; data in var/ stays
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
