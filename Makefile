# `make repro` on a fresh machine runs the whole pipeline; `make help` lists the rest.

.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c

# Nothing of the pipeline reports home.
export DVC_NO_ANALYTICS := 1
export RAY_USAGE_STATS_ENABLED := 0
export MLFLOW_DISABLE_TELEMETRY := true
export ORT_DISABLE_TELEMETRY := 1

# Put before a command, finds the programs of .venv first.
IN_VENV := PATH="$$PWD/.venv/bin:$$PATH"
PYTEST = -n $(TEST_WORKERS) --junitxml=build/tests.xml
FULL_PARITY := DUCKLANE_PARITY_STEPS=1000 DUCKLANE_PARITY_POSES=24 DUCKLANE_PARITY_STARTS=20
PORT ?= 5000
# processes that run the tests; each may train
TEST_WORKERS ?= 2

.PHONY: help repository repro test test-full setup setup-tests lint types unit format doctor ui bench-confirmation bench-coverage bench-scaling bench-simulator bench-transfer bench-training bench-turnaround tune-controller seeds study recipes parity screenshots test-faults auxiliary-task suite-times reference aido

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# before anything is installed: where no Python is there for it, setup says so
repository:
	@! command -v python3 >/dev/null || python3 -I src/ducklane/repository/git.py

repro: repository setup ## set up what is missing, then train, evaluate, export and report: the main job
	@$(IN_VENV) python -m ducklane.tracking
	@$(IN_VENV) dvc repro

test: repository ## check style, types and behaviour: what must hold before a change is committed (about a quarter of an hour)
	@$(MAKE) --no-print-directory setup-tests lint types unit && mkdir -p build && \
		printf '{"seconds": %d}\n' $$SECONDS >build/test_seconds.json

setup: ## install system libraries and .venv; does nothing where that is done (PYTHON=... chooses the Python)
	@scripts/setup.sh

setup-tests: ## install what only the tests use: Chromium, PostgreSQL
	@scripts/setup.sh tests

lint: setup ## check style
	$(IN_VENV) ruff check .
	$(IN_VENV) ruff format --check .

types: setup ## check types
	$(IN_VENV) mypy

unit: setup-tests ## run the tests
	$(IN_VENV) pytest $(PYTEST)

test-full: setup-tests ## run all tests, also long ones that repeat what others guard (about forty minutes)
	$(IN_VENV) $(FULL_PARITY) pytest $(PYTEST) -m "full or not full"

suite-times: setup ## write into CONTRIBUTING.md where the time of the last make test went
	@$(IN_VENV) python benchmarks/suite_times.py

reference: setup ## write docs/parameters.md and docs/metrics.md from what the code says, and the benchmarks' tables into other pages
	@$(IN_VENV) python scripts/reference_pages.py

format: setup ## fix style
	$(IN_VENV) ruff check --fix .
	$(IN_VENV) ruff format .

doctor: ## say what this machine has, and how to get what it lacks
	@[ -x .venv/bin/python ] || $(MAKE) --no-print-directory repository setup
	@$(IN_VENV) python -m ducklane.doctor

ui: setup ## show the recorded runs at http://127.0.0.1:5000 (PORT=... for another port)
	@$(IN_VENV) python -m ducklane.tracking $(PORT)

bench-simulator: setup ## measure both simulators side by side (about ten minutes)
	@$(IN_VENV) python benchmarks/simulator.py

bench-transfer: setup ## drive the trained policy in both simulators (after make repro; about ten minutes)
	@$(IN_VENV) python benchmarks/transfer.py

aido: setup ## drive the exported policy in the AI Driving Olympics' own simulator node, on new scenarios (after make repro; about a quarter of an hour)
	@$(IN_VENV) python -m ducklane aido --sample LF

seeds: setup ## train the default recipe with three seeds and score each (about a quarter of an hour)
	@$(IN_VENV) python -m ducklane.tracking
	@$(IN_VENV) python benchmarks/seeds.py

study: setup ## compare recipes that differ from the default in one choice, three seeds each (about two and a half hours)
	@$(IN_VENV) python -m ducklane.tracking
	@$(IN_VENV) python benchmarks/study.py

auxiliary-task: setup ## train with and without predicting the lane position, on one map and on several (about an hour and a half)
	@$(IN_VENV) python -m ducklane.tracking
	@$(IN_VENV) python benchmarks/auxiliary_task.py

recipes: setup ## train on several maps and around obstacles, and drive (after make repro; about an hour)
	@$(IN_VENV) python -m ducklane.tracking
	@$(IN_VENV) python benchmarks/recipes.py

test-faults: setup ## disturb training runs in every way, and see what is lost (about twenty minutes)
	@$(IN_VENV) python benchmarks/faults.py

bench-turnaround: setup ## measure an experiment from typing to compared scores, five times (about half an hour)
	@$(IN_VENV) python benchmarks/turnaround.py

bench-training: setup ## measure PPO beside a bare loop and the stock simulator (about five minutes)
	@$(IN_VENV) python benchmarks/training.py

bench-scaling: setup ## model an iteration on more cores and nodes, and check it by training (about two minutes)
	@$(IN_VENV) python benchmarks/scaling.py

bench-coverage: setup ## how often the interval of ducklane compare holds the truth (about four minutes)
	@$(IN_VENV) OPENBLAS_NUM_THREADS=1 python benchmarks/intervals.py

bench-confirmation: setup ## whether choosing checkpoints by drives without noise would pay (about twenty minutes)
	@$(IN_VENV) python benchmarks/confirmation.py

tune-controller: setup ## search the gains of the controller that policies are compared with (about five minutes)
	@$(IN_VENV) python benchmarks/controller.py

screenshots: setup-tests ## take the pictures of MLflow and of the report for the docs again (after make repro; about five minutes)
	@$(IN_VENV) python benchmarks/screenshots.py

parity: setup ## compare the simulators in full, where make test takes samples (about ten minutes)
	@$(IN_VENV) $(FULL_PARITY) pytest -s tests/simulator/test_state_parity.py tests/simulator/camera/test_pixel_parity.py \
		tests/evaluation/test_transfer.py
