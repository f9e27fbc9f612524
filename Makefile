# What you can do here. `make` alone lists it.

PYTHON := .venv/bin/python
# With util-linux, a make that is killed takes the portal down with it instead of leaving it without a terminal.
FOLLOW := $(if $(shell command -v setpriv 2>/dev/null),setpriv --pdeathsig TERM --)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run demo trace test check unit bench docs lock clean

help: ## list what you can do
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv/.ready ## start the portal in the foreground; Ctrl-C stops it (MES_PORT, MES_DATA, MES_REPLICAS, …)
	@$(FOLLOW) $(PYTHON) -m deploy.local

demo: .venv/.ready ## fill a running portal with something to look at
	@.venv/bin/mes demo

trace: .venv/.ready ## show one request's way through the portal: make trace ID=<trace id>
	@test -n "$(ID)" || { echo 'which one? make trace ID=<the Mes-Trace header of an answer>'; exit 2; }
	@.venv/bin/mes trace "$(ID)"

test: .venv/.ready ## everything: the checks, then all tests, on a real broker, database and browser
	@deploy/bootstrap.sh browser
	@deploy/bootstrap.sh broker
	@$(MAKE) --no-print-directory check
	@$(PYTHON) -m pytest

check: .venv/.ready ## lint, format, types, and which room may import which
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy --strict libs services gateway clients deploy tests
	@.venv/bin/lint-imports

unit: .venv/.ready ## the tests that need nothing running, in seconds
	@$(PYTHON) -m pytest tests/domain tests/unit tests/contracts

bench: .venv/.ready ## measure a running system
	@$(PYTHON) -m tests.bench

docs: .venv/.ready ## write docs/generated again
	@$(PYTHON) -m deploy.docs

COMPILE = .venv/bin/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock"

lock: .venv/.ready ## pin what pyproject.toml asks for
	@$(COMPILE) pyproject.toml --all-extras -o requirements/lock.txt
	@echo uv | $(COMPILE) - -o requirements/uv.txt

clean: ## remove the environment, the data and the caches
	rm -rf .venv .mes .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

.venv/.ready: requirements/lock.txt requirements/uv.txt pyproject.toml deploy/bootstrap.sh
	@deploy/bootstrap.sh
