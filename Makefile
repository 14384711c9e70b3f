# Every target installs what it needs into .venv; the first call needs only Python 3.11 or later.

PYTHON ?= python3
UV ?= uv
SOAK_SECONDS ?= 3600
BIN := .venv/bin
SECONDS_ARGUMENT = $(if $(ROOM_SECONDS),--seconds $(ROOM_SECONDS))
MEDIA_ARGUMENT = $(if $(MEDIA),--media "$(MEDIA)")

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-all test-recipes test-shapes soak lint bench train evaluate servers lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/installed-cpu ## Install the sidecar and its weights into .venv

demo: .venv/installed-cpu ## Watch a simulated call being read (ROOM_SECONDS=30 ends by itself, MEDIA=file plays yours)
	$(BIN)/sidecar demo $(SECONDS_ARGUMENT) $(MEDIA_ARGUMENT)

test: lint servers ## Run linters and every test against real servers
	$(BIN)/python -m pytest

test-fast: .venv/installed-dev ## Run the tests that need no servers
	$(BIN)/python -m pytest -m "not integration and not packaging and not browser and not recipe and not shapes"

test-all: lint servers ## Run linters and every test, the slow suites included
	$(BIN)/python -m pytest -m ""

test-recipes: .venv/installed-dev ## Run the conversion recipes and compare with the committed files
	$(BIN)/python -m pytest -m recipe

test-shapes: .venv/installed-dev ## Export the architectures at their true sizes, with random weights
	$(BIN)/python -m pytest -m shapes

soak: .venv/installed-dev servers ## Let everything fail at random for an hour (SOAK_SECONDS=600: for ten minutes)
	FAULTS_SECONDS=$(SOAK_SECONDS) $(BIN)/python -m pytest -s tests/faults/test_random.py

lint: .venv/installed-dev ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: .venv/installed-dev servers ## Measure the pipeline against its floor; writes models/results/bench.json
	$(BIN)/python -m tests.load.bench

train: .venv/installed-dev ## Train the encoders from ../shared/data (hours on two cores; resumes)
	$(BIN)/python -m models.train.face --resume
	$(BIN)/python -m models.train.voice
	$(BIN)/python -m models.train.voice_distil --resume
	$(BIN)/python -m models.train.voice --recipe voice-wav2vec2-compact
	$(BIN)/python -m models.train.text --resume

evaluate: .venv/installed-dev ## Recompute the figures of the committed weights, ask the release gate, write the cards
	$(BIN)/python -m models.evaluate
	$(BIN)/python -m models.evaluate.drawn
	$(BIN)/python -m models.evaluate.gate
	$(BIN)/python -m models.cards

servers: .venv/installed-dev ## Install the LiveKit server, Redis and Chromium that the tests start
	$(BIN)/python -m sidecar.demo.servers install --browser

lock: ## Resolve the lock files anew (needs uv)
	$(UV) pip compile pyproject.toml -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --extra cpu --extra plot --extra demo -o requirements/cpu.txt
	$(UV) pip compile pyproject.toml -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --extra cpu --extra plot --extra demo --extra train --extra dev \
		-c requirements/cpu.txt -o requirements/dev.txt

clean: ## Remove what the other targets made
	rm -rf .venv .cache .servers runs build dist

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed: make PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/installed-cpu: requirements/cpu.txt pyproject.toml | .venv/bin/python
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/cpu.txt
	$(BIN)/pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

.venv/installed-dev: requirements/dev.txt .venv/installed-cpu
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	touch $@
