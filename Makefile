# What a developer types. `make` alone lists it; nothing but make and Python 3.11 or newer with venv has to be there.
.DEFAULT_GOAL := help
.PHONY: help run test test-native lint format bench bench-lifecycle load soak schema docs native wheel binary lock clean
.PHONY: .can-compile .fastest .venv-run .venv-test .venv-native .venv-load .venv-deploy .venv-docs .venv-binary .lint-deploy .npm-oidc

# The first Python that starts and is new enough; `make run PYTHON=/path/to/python` overrides it.
# (Each is started, for a name on PATH may be only a version manager's shim.)
PYTHON := $(shell for name in python3.13 python3.12 python3.11 python3; do \
	if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then command -v $$name; break; fi; \
	done)
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
PYTEST_ARGS ?= -n 2
LOAD_ARGS ?=
BENCH_ARGS ?=
# What it takes to compile: a C compiler, and the headers of Python.
CAN_COMPILE = $(if $(PYTHON),$(shell command -v cc >/dev/null && $(PYTHON) -c 'import os, sysconfig as s; \
	raise SystemExit(not os.path.exists(os.path.join(s.get_path("include"), "Python.h")))' && echo yes))
# Behind this a command runs what `make native` has compiled, where that can be had, and not the sources as they are.
COMPILED = $(if $(CAN_COMPILE),PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/native:$(CURDIR))
# What sends requests through the hot path, or stands in it.
NATIVE_TESTS ?= tests/application tests/breaker tests/compose tests/integration tests/limits tests/plugins \
	tests/routing tests/telemetry tests/upstreams tests/wire tests/process tests/test_*.py

# $(call install,VENV,LOCK,WITH-THE-PROJECT): make the virtual environment and bring it to the lock's state, unless its
# stamp says that it is there. Only wheels are taken, so no compiler is needed; every file is checked against its hash.
define install
	@test -n "$(PYTHON)" || { echo "aiogate needs Python 3.11 or newer, and none was found as python3.13, python3.12," \
		"python3.11 or python3. Install one, or say where it is: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@set -e; stamp=$(1)/.stamp-$(2); \
	want="`cat requirements/$(2).txt pyproject.toml setup.py | cksum` $(CURDIR)"; \
	if [ "`cat $$stamp 2>/dev/null`" = "$$want" ]; then exit 0; fi; \
	if ! $(1)/bin/python -c '' >/dev/null 2>&1; then \
		echo "creating $(1) with $(PYTHON)"; rm -rf $(1); \
		if [ -n "$(UV)" ]; then "$(UV)" venv --quiet --no-project --python "$(PYTHON)" $(1); \
		else "$(PYTHON)" -m venv $(1) || { rm -rf $(1); \
			echo "Python's venv module is incomplete; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; fi; \
	fi; \
	if [ -n "$(UV)" ]; then pip="$(UV) pip install --quiet --python $(1)/bin/python"; \
	else $(1)/bin/python -m pip --version >/dev/null 2>&1 || $(1)/bin/python -m ensurepip >/dev/null; \
		pip="$(1)/bin/python -m pip install --quiet --disable-pip-version-check"; fi; \
	echo "installing requirements/$(2).txt into $(1)"; \
	$$pip --require-hashes --only-binary=:all: -r requirements/$(2).txt; \
	$(if $(3),$$pip --no-deps --no-build-isolation -e .;) \
	echo "$$want" > $$stamp
endef

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: .venv-run ## the sample services and the gateway on routes.yaml; Ctrl-C stops all
	@exec $(BIN)/gateway demo

test: lint .npm-oidc ## everything that must be green: lint, types, tests (PYTEST_ARGS=...)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-native: native .npm-oidc ## the same answers when the hot path is compiled: the tests that send requests
	$(COMPILED) $(BIN)/python -m pytest $(PYTEST_ARGS) -o pythonpath="$(CURDIR)/build/native $(CURDIR)" $(NATIVE_TESTS)

lint: .venv-test .lint-deploy ## ruff, mypy, and the checks of deploy/
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy gateway plugins

# What a unit starts has to be there for systemd-analyze, so another program stands in for it.
.lint-deploy: .venv-deploy
	.venv-deploy/bin/hadolint deploy/docker/Dockerfile
	.venv-deploy/bin/kubernetes-validate --strict --quiet $(filter-out %/kustomization.yaml,$(wildcard deploy/kubernetes/*.yaml))
	@set -e; if ! command -v systemd-analyze >/dev/null; then \
		echo "systemd-analyze is not there: the units in deploy/systemd are not verified"; exit 0; fi; \
	echo "systemd-analyze verify deploy/systemd/*"; units=`mktemp -d`; trap 'rm -rf "$$units"' EXIT; \
	for unit in deploy/systemd/*; do sed 's|^ExecStart=[^ ]*|ExecStart=/bin/true|' "$$unit" > "$$units/$${unit##*/}"; done; \
	systemd-analyze verify "$$units"/*

format: .venv-test ## let ruff put the sources in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .fastest ## CPU and latency side by side with the peers that are installed
	$(COMPILED) $(BIN)/python -m loadtest.bench $(BENCH_ARGS)

bench-lifecycle: .fastest ## reloads, kills, restarts, several workers and TLS (BENCH_ARGS=...); some 15 minutes
	$(COMPILED) $(BIN)/python -m loadtest.bench --scenario reloads kills restart scaling shared tls \
		--json loadtest/results/lifecycle.json $(BENCH_ARGS)

soak: .venv-test ## ten minutes of mixed traffic; memory and sockets must stay level
	$(BIN)/python -m loadtest.soak --seconds 600

load: .venv-run .venv-load ## Locust against the demo (LOAD_ARGS=...); a report in loadtest/results/
	@mkdir -p loadtest/results; : > loadtest/results/demo.log; \
	$(BIN)/gateway demo > loadtest/results/demo.log 2>&1 & demo=$$!; \
	trap 'kill -TERM $$demo 2>/dev/null; wait $$demo 2>/dev/null' EXIT; trap 'exit 130' INT; trap 'exit 143' TERM; \
	tries=0; until grep -q '^ready' loadtest/results/demo.log; do \
		tries=$$((tries + 1)); \
		if ! kill -0 $$demo 2>/dev/null || [ $$tries -ge 100 ]; then \
			echo "the demo did not become ready; its last words:" >&2; tail -n 20 loadtest/results/demo.log >&2; exit 1; fi; \
		sleep 0.2; done; \
	.venv-load/bin/locust -f loadtest/locustfile.py --headless -u 20 -r 20 -t 30s --html loadtest/results/load.html \
		--only-summary $(LOAD_ARGS)

schema: .venv-run ## write routes.schema.json, for editors
	@$(BIN)/gateway schema > routes.schema.json.new || { rm -f routes.schema.json.new; exit 1; }
	mv routes.schema.json.new routes.schema.json

docs: .venv-run .venv-docs ## the site of docs/, in build/docs; a broken link fails
	$(BIN)/python docs/reference.py build/docs-source
	.venv-docs/bin/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky -c docs build/docs-source build/docs
	@echo "build/docs/index.html"

native: .can-compile .venv-test .venv-native ## build/native: the gateway with its hot path compiled to C; needs a C compiler
	@set -e; stamp=build/.stamp-native; want="`find gateway plugins -name '*.pxd' | sort | cat - setup.py requirements/native.txt | cksum`"; \
	if [ "`cat $$stamp 2>/dev/null`" != "$$want" ]; then \
		rm -rf build/cython build/lib.* build/temp.*; mkdir -p build; echo "$$want" > $$stamp; fi
	@rm -rf build/native dist/native; mkdir -p build dist/native; find build -path 'build/lib.*' -name '*.py' -delete
	@AIOGATE_NATIVE=1 MAKEFLAGS= $(BIN)/python -c 'from setuptools import build_meta as b; b.build_wheel("dist/native")' \
		> build/native.log 2>&1 || { tail -n 40 build/native.log >&2; exit 1; }
	@$(BIN)/python -m zipfile -e dist/native/*.whl build/native; ls dist/native/*.whl

.can-compile:
	@test -n "$(CAN_COMPILE)" || { echo "this needs a C compiler and the headers of $(PYTHON); on Debian and Ubuntu:" \
		"apt-get install gcc python3-dev" >&2; exit 1; }

.fastest: .venv-test
	@if [ -n "$(CAN_COMPILE)" ]; then $(MAKE) --no-print-directory native; fi

wheel: .venv-run ## the wheel and the source distribution, in dist/
	@rm -rf build/lib build/bdist.* *.egg-info dist/aiogate-*; mkdir -p dist
	@$(BIN)/python -c 'from setuptools import build_meta as b; b.build_sdist("dist"); b.build_wheel("dist")' >/dev/null
	@ls dist/aiogate-*

binary: wheel .venv-binary ## dist/gateway: Python, gateway and all in one executable file
	@rm -rf build/binary; $(BIN)/python -m zipfile -e dist/aiogate-*.whl build/binary/wheel
	PYTHONPATH=build/binary/wheel .venv-binary/bin/pyinstaller --noconfirm --log-level WARN \
		--distpath dist --workpath build/binary deploy/binary/gateway.spec
	@$(BIN)/python deploy/binary/smoke.py dist/gateway

LOCK = "$(UV)" pip compile --quiet --universal --python-version 3.11 --generate-hashes --only-binary :all: \
	--custom-compile-command "make lock" $(LOCK_ARGS)

lock: ## pin the dependencies anew (LOCK_ARGS=--upgrade for newer ones); needs uv
	@test -n "$(UV)" || { echo "make lock needs uv on PATH: pip install uv" >&2; exit 1; }
	$(LOCK) pyproject.toml --group build --output-file requirements/run.txt
	$(LOCK) pyproject.toml --group build --extra test --constraint requirements/run.txt --output-file requirements/test.txt
	$(LOCK) --group load --output-file requirements/load.txt
	$(LOCK) --group deploy --output-file requirements/deploy.txt
	$(LOCK) --group native --output-file requirements/native.txt
	$(LOCK) --group docs --output-file requirements/docs.txt
	$(LOCK) pyproject.toml --extra memcached --group binary --constraint requirements/run.txt \
		--output-file requirements/binary.txt

clean: ## remove the virtual environments, caches and results
	rm -rf .venv .venv-load .venv-deploy .venv-docs .venv-binary build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis loadtest/results \
		tests/oidc/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv-run:
	$(call install,.venv,run,project)

.venv-test:
	$(call install,.venv,test,project)

.venv-native: .venv-test
	$(call install,.venv,native,)

.venv-load:
	$(call install,.venv-load,load,)

.venv-deploy:
	$(call install,.venv-deploy,deploy,)

.venv-docs:
	$(call install,.venv-docs,docs,)

.venv-binary:
	$(call install,.venv-binary,binary,)

# A peer of the tests that only npm brings; without it they are skipped. No package's install script is run.
.npm-oidc:
	@set -e; cd tests/oidc; stamp=node_modules/.stamp; \
	want="`cat package.json package-lock.json | cksum`"; \
	if [ "`cat $$stamp 2>/dev/null`" = "$$want" ]; then exit 0; fi; \
	if ! command -v npm >/dev/null || ! node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' 2>/dev/null; then \
		echo "npm with Node.js 20 or newer is not there: the tests that want oidc-provider are skipped"; exit 0; fi; \
	echo "installing tests/oidc/package-lock.json into tests/oidc/node_modules"; \
	npm ci --silent --ignore-scripts --no-audit --no-fund || { echo "npm ci failed in tests/oidc; to see why:" \
		"npm ci --ignore-scripts --prefix tests/oidc" >&2; exit 1; }; \
	echo "$$want" > $$stamp
