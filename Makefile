# Prepares a virtual environment in .venv and runs Sysops or its tests from it. Needs python3 (3.11 or newer), its
# venv module and make. What is installed is remembered by a stamp, so that later runs need no network.

.DEFAULT_GOAL := help
.ONESHELL:
.SHELLFLAGS := -ec
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The folder is part of the stamp: a checkout that was moved installs itself again.
HASH := $(shell { pwd; cat requirements.txt pyproject.toml; } | sha256sum | cut -c1-16)
HASH_DEV := $(shell { pwd; cat requirements.txt requirements-dev.txt pyproject.toml; } | sha256sum | cut -c1-16)
INSTALLED := $(VENV)/.installed-$(HASH)
INSTALLED_DEV := $(VENV)/.installed-dev-$(HASH_DEV)
TESTS ?=

.PHONY: help up test check format requirements clean install install-dev debian-packages

help: ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

up: $(INSTALLED) ## Run Sysops in the foreground (SYSOPS_PORT, SYSOPS_DATA_DIR …: docs/configuration.md)
	@exec $(BIN)/python -m sysops.cli up

test: $(INSTALLED_DEV) debian-packages ## Run the tests (TESTS="tests/backups -k restore" for some of them)
	@exec $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder $(TESTS)

check: $(INSTALLED_DEV) ## Static checks: lint, format, types, floors, requirements in step
	@$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

format: $(INSTALLED_DEV) ## Sort imports and format the code
	@$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

requirements: $(INSTALLED_DEV) ## Compile requirements*.txt from pyproject.toml
	@uv="$(BIN)/uv pip compile -q --universal --python-version 3.11 --no-header --no-annotate"
	$$uv --extra embedded pyproject.toml -o requirements.txt
	$$uv --extra embedded --extra dev -c requirements.txt pyproject.toml -o requirements-dev.txt

install: $(INSTALLED) ## Only prepare .venv for `make up`

install-dev: $(INSTALLED_DEV) ## Only prepare .venv for `make test`

clean: ## Remove .venv and caches; data in var stays
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
	  echo "Sysops needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || {
	  echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	touch $@

$(INSTALLED): $(VENV)/.made
	@echo "Installing requirements.txt into $(VENV) …"
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps --editable .
	rm -f $(VENV)/.installed-[0-9a-f]*
	touch $@

$(INSTALLED_DEV): $(VENV)/.made
	@echo "Installing requirements-dev.txt into $(VENV) …"
	$(PIP) install -r requirements-dev.txt
	$(PIP) install --no-deps --editable .
	rm -f $(VENV)/.installed-[0-9a-f]* $(VENV)/.installed-dev-*
	touch $@ $(INSTALLED)

debian-packages:
	@missing=
	command -v chromium >/dev/null || command -v chromium-browser >/dev/null || missing="$$missing chromium"
	for proxy in nginx haproxy; do
	  PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v $$proxy >/dev/null || missing="$$missing $$proxy"
	done
	test -z "$$missing" && exit 0
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	  echo "The tests need$$missing: install it first (apt-get install$$missing)." >&2; exit 1
	fi
	echo "Installing$$missing …"
	export DEBIAN_FRONTEND=noninteractive
	policy=/usr/sbin/policy-rc.d # Debian asks it before a package starts its server: ours are started by tests alone
	if [ ! -e $$policy ]; then
	  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
	  printf '#!/bin/sh\nexit 101\n' >$$policy && chmod +x $$policy
	fi
	apt-get install -qq -y --no-install-recommends $$missing >/dev/null 2>&1 ||
	  { apt-get update -qq && apt-get install -qq -y --no-install-recommends $$missing >/dev/null; }
	for proxy in nginx haproxy; do # nor at the next start of the machine, where it was not installed before
	  case "$$missing" in *$$proxy*) systemctl disable --quiet $$proxy 2>/dev/null || true;; esac
	done
