# Everything starts here: `make serve` on a fresh machine, `make test` in CI. Works with GNU make 3.81 (macOS).

DATA ?= data
PORT ?= 8080
DATABASE ?=
ARGS ?=

# Debian packages without which tests would not run.
SYSTEM_PACKAGES ?= postgresql nodejs npm chromium

# What `make bench` measures, and with which Debian packages.
BENCH_PACKAGES ?= wrk postgresql
ENGINES ?= sqlite postgresql
CONNECTIONS ?= 1 16 64
SECONDS ?= 5
ROWS ?= 0

# How often `make destruction` kills, pays, races, plays and breaks lines; `make test` does each a tenth of it, or less.
KILLS ?= 1000
KILLS_POSTGRESQL ?= 100
PAYMENTS ?= 10000
ROUNDS ?= 10000
DAYS ?= 20000
STEPS ?= 60
SEEDS ?= 50
TESTS ?= tests/destruction tests/races tests/model tests/links

.PHONY: help serve install test check docs bench destruction lock

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'

serve: ## Serve a sandbox on http://127.0.0.1:8080 (PORT=8080 DATA=data DATABASE=postgresql://... ARGS=...)
	@sh scripts/setup.sh base
	@$(if $(DATABASE),KESSAI_DATABASE="$(DATABASE)") exec .venv/bin/kessai serve --data "$(DATA)" --port "$(PORT)" $(ARGS)

install: ## Set up .venv with Kessai in it (PYTHON=/path/to/python3 to choose one)
	@sh scripts/setup.sh base
	@echo "Kessai is installed: .venv/bin/kessai"

test: ## Install what the tests need, then check everything (ARGS="-k capture" goes to pytest)
	@sh scripts/setup.sh system $(SYSTEM_PACKAGES)
	@sh scripts/setup.sh test
	@sh scripts/setup.sh sdk
	@sh scripts/setup.sh node
	@exec sh scripts/check $(ARGS)

check: ## Check everything with what is installed: lint, format, types, tests
	@exec sh scripts/check $(ARGS)

docs: ## Print the tables into the documents
	@.venv/bin/python -m kessai.reference

bench: ## Measure the gateway on this machine (ROWS=0 CONNECTIONS="1 16 64" SECONDS=5 ENGINES="sqlite postgresql")
	@sh scripts/setup.sh system $(BENCH_PACKAGES)
	@sh scripts/setup.sh bench
	@exec .venv-bench/bin/python -m bench.run --engine $(ENGINES) --connections $(CONNECTIONS) --seconds $(SECONDS) --rows $(ROWS) $(ARGS)

destruction: ## Kill, race and repeat for hours instead of minutes (KILLS=1000 PAYMENTS=10000 ROUNDS=10000 DAYS=20000 SEEDS=50 ...)
	@sh scripts/setup.sh test
	@KILLS=$(KILLS) KILLS_POSTGRESQL=$(KILLS_POSTGRESQL) PAYMENTS=$(PAYMENTS) ROUNDS=$(ROUNDS) DAYS=$(DAYS) STEPS=$(STEPS) \
		SEEDS=$(SEEDS) .venv/bin/python -m pytest --timeout 86400 $(TESTS) $(ARGS)

lock: ## Write requirements/*.txt from pyproject.toml (ARGS=--upgrade for the newest of everything)
	@sh scripts/setup.sh lock
	@sh scripts/lock $(ARGS)
