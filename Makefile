# `make` lists what can be made. It needs Python 3.11 or newer and nothing else: the rest is put into .venv.

PYTHON ?= python3
WORKERS ?= 2
SEEDS ?= 3
SALES ?= 20000

BIN := .venv/bin
BUILT := .venv/.built
BUILT_BENCH := .venv/.built-bench

# No line and no branch of these may be untested; the stand-ins imitate others and are held by the flows' tests.
PURE := gateway/domain/*,gateway/sdk/*,gateway/faurya/*,gateway/flows/*,providers/*/*
NOT_PURE := providers/*/stand_in.py,providers/*/stand_in/*

.DEFAULT_GOAL := help
.PHONY: help run test lint format bench chaos clean

help: ## show this list
	@sed -n 's/^\([a-z]*\): .*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

run: $(BUILT) ## the gateway, its database, stand-ins for Paddle and Faurya, and a demo shop; Ctrl-C stops all
	@$(BIN)/faurya-gateway dev

test: lint ## everything that must hold: lint, tests, coverage
	@$(BIN)/coverage erase
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --cov --cov-report=
	@$(BIN)/coverage report --include='$(PURE)' --omit='$(NOT_PURE)' --fail-under=100

lint: $(BUILT) ## format, style, types, layers, Dockerfile
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; \
	else echo 'Dockerfile not linted: there is no hadolint for this machine'; fi

format: $(BUILT) ## rewrite the code in the house format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(BUILT_BENCH) ## measure, side by side with others, into bench/results/, for hours; HOUR=1: in one; QUICK=1: in minutes
	@$(BIN)/python -m bench $(if $(HOUR),--hour) $(if $(QUICK),--quick)

chaos: $(BUILT) ## storms over a real gateway, minutes each: SEED=1 SEEDS=3 SALES=20000 REPORT=page.md
	@$(BIN)/python -m tests.chaos --sales $(SALES) --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(if $(REPORT),--report $(REPORT))

clean: ## remove .venv and everything else that was built
	@rm -rf .venv build dist *.egg-info .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find gateway providers tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

$(BUILT_BENCH): $(BUILT)
	@$(BIN)/python -m pip install -qq --group bench
	@touch $@

$(BUILT): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo 'Python 3.11 or newer is needed: install it, or say which one to use: make PYTHON=python3.12' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	echo '$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Filling .venv with what pyproject.toml names; this takes a minute.'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq 'pip>=25.1'
	@$(BIN)/python -m pip install -qq --editable '.[embedded]' --group dev
	@touch $@
