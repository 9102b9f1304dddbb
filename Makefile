# make run: the provider and the demo on this machine.   make test, make lint: what CI runs, nothing else.

PYTHON ?= python3
WORKERS ?= 2
PIP := .venv/bin/python -m pip --disable-pip-version-check --quiet
COMPILE := .venv/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --group editable

.PHONY: run test lint bench lock

run: .venv/.ready-to-run
	@exec .venv/bin/idp dev

test: .venv/.ready-to-test
	@tests/provision.sh
	.venv/bin/python -m pytest -n $(WORKERS) $(ARGS)

lint: .venv/.ready-to-test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

# ARGS="--seconds 10 --profiles refresh,code_flow --save"; docs/performance.md says what is measured and how.
bench: .venv/.ready-to-test bench/peer/node_modules/.ready
	@tests/provision.sh
	.venv/bin/python -m bench $(ARGS)

bench/peer/node_modules/.ready: bench/peer/package-lock.json
	@echo "Installing the peer that is measured beside us (once) ..."
	@cd bench/peer && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# Both locks come from one pyproject.toml; the shorter one is part of the longer, so .venv serves both.
# UPGRADE=1 takes the newest versions; without it, what is locked stays where pyproject.toml still allows it.
lock: .venv/.ready-to-test
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group dev pyproject.toml --output-file tests/requirements.lock
	$(COMPILE) --constraints tests/requirements.lock pyproject.toml --output-file requirements.lock

# A stamp says which lock .venv agrees with: a second run has nothing to install.
.venv/.ready-to-run: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing the locked dependencies into .venv (once) ..."
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.ready-to-test: tests/requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing the locked dependencies and the test tools into .venv (once) ..."
	@$(PIP) install --require-hashes --requirement tests/requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/bin/python:
	@for python in "$(PYTHON)" python3.13 python3.12 python3.11; do \
		"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		"$$python" -m venv .venv || { rm -rf .venv; exit 1; }; \
		exit 0; \
	done; \
	echo "idp needs Python 3.11 or newer; none was found. Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
	exit 1
