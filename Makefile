# All that is needed to begin is Python 3.11 or newer and make. `make` alone lists the commands.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; \
	done; echo python3)
BIN := .venv/bin
INSTALLED := .venv/.installed
# Each has Kafka, PostgreSQL and Redis of its own, takes about 1.5 GB, and keeps a core busy.
TEST_PROCESSES ?= 2

.DEFAULT_GOAL := help
.PHONY: help install up down env demo pictures test test-fast check compile uncompile bench faults fuzz test-deploy test-kubernetes lint format clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make the virtual environment .venv from the lock file

# Nothing is done while neither the lock file nor the list of dependencies has changed.
$(INSTALLED): uv.lock pyproject.toml deploy/bootstrap.py
	@$(PYTHON) deploy/bootstrap.py
	@touch $@

up: install ## start servers and services in the background
	@$(BIN)/till up

down: install ## stop them; the data stay
	@$(BIN)/till down

env: install ## print their addresses as shell exports
	@$(BIN)/till env

demo: install ## a real day of several stores through Kafka, from nothing to the closings; KEEP=1 to watch it and stay
	@$(BIN)/till demo $(if $(KEEP),--keep) $(if $(OVER),--over $(OVER))

pictures: install ## those of docs/console.md anew, of the demo that it plays for them; needs Chromium
	@$(BIN)/python -m tests.console.pictures

test: install ## all tests, shared by two processes with a stack each
	@$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-fast: install ## all tests that need no servers, and none is started
	@$(BIN)/pytest --without-servers -n $(TEST_PROCESSES) --dist loadfile

check: install ## formatting, rules, types, imports, dead code, exported schemas
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/vulture
	@$(BIN)/till schema --check

compile: install ## the pure rooms in C, for speed: about two minutes and a C compiler; nothing needs it
	@$(BIN)/python deploy/compile.py

uncompile: install ## remove what was compiled: the sources run again
	@$(BIN)/python deploy/compile.py --remove

bench: install ## the comparison with other ways to do this; ARGS="--quick" for a short one
	@$(BIN)/python -m tests.bench $(ARGS)

faults: install ## the fault suite at length, with its figures
	@$(BIN)/pytest tests/faults tests/reporting/test_webhook_whole_way.py --faults-at-length -v

fuzz: install ## a search for dear inputs to every way in, odd requests to every HTTP API, and bent commands, at length
	@$(BIN)/pytest tests/costs/test_cost_fuzz.py --fuzz-at-length
	@$(BIN)/pytest tests/gateway/test_fuzz.py --fuzz-at-length
	@$(BIN)/pytest tests/wire/test_records.py tests/rules/test_reading.py --fuzz-at-length --timeout 0

test-deploy: install ## the containers: a day with deaths, and who may do what
	@TILL_TEST_DEPLOY=1 $(BIN)/pytest tests/deploy/test_compose.py

test-kubernetes: install ## a day on the cluster that KUBECONFIG names, with deaths and an upgrade
	@TILL_TEST_KUBERNETES=1 $(BIN)/pytest tests/deploy/test_kubernetes.py -s

lint: install ## ruff alone
	@$(BIN)/ruff check

format: install ## rewrite the code in the common format
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

clean: ## stop the stack, delete its data, the environment and all caches
	@if [ -x $(BIN)/till ]; then $(BIN)/till down --delete-data; fi
	rm -rf .venv .tillstream .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
