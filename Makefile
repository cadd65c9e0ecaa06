# run: build and serve · test: everything that is tested · lint: what reviews need not look at
# screenshots: pictures of every page · bench-ui: the dashboard's size and speed · chart-test: the Helm chart and the image alone · test-long: ten thousand simulated worlds, and faults that last · bench: the load suite's table · load SCENARIO=mixed: a scenario and its report · compare: what gateways add over none · soak: an hour of traffic and faults, and what is left of it (SOAK_MINUTES) · fuzz: each parser for a minute · build: the release binary only. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup bundle run build test chart-test test-long lint bench load compare soak bench-ui screenshots fuzz

help:
	@sed -n '1,2s/^# //p' Makefile

setup:
	@scripts/setup.sh run

# The dashboard, which a release build has inside.
bundle: setup
	@scripts/bundle.sh

build: bundle
	cargo build --release --locked -p antiphon

# cargo becomes the gateway, so that Ctrl-C and signals reach it.
run: bundle
	@cargo run --release --locked -p antiphon -- serve

test:
	@scripts/setup.sh test
	@scripts/test.sh

# The gateway judges the configuration that the chart writes; ANTIPHON_BIN may name one that is built already.
chart-test:
	@scripts/setup.sh chart
	@[ -n "$${ANTIPHON_BIN:-}" ] || cargo build --locked -p antiphon
	@export ANTIPHON_BIN=$${ANTIPHON_BIN:-$$(scripts/target-dir.sh)/debug/antiphon}; \
	for part in chart image; do .venv/chart/bin/python -m pytest tests/$$part -q; done

test-long:
	@scripts/setup.sh test
	@scripts/test-long.sh

lint:
	cargo fmt --all --check
	cargo fmt --manifest-path xtask/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --manifest-path xtask/Cargo.toml --locked -- -D warnings
	scripts/check-dependencies.sh

bench: setup
	cargo build --release --locked -p antiphon -p loadtest
	target=$$(scripts/target-dir.sh); "$$target/release/loadtest" bench --antiphon "$$target/release/antiphon"

# Each starts a gateway of its own in release, before scripted providers. Results are in load-results, or in LOAD_RESULTS;
# LOAD_ARGS adds what `loadtest load --help` and its like list.
SCENARIO ?= mixed
SOAK_MINUTES ?= 60
LOAD_RESULTS ?= load-results
load: ASKED = load $(SCENARIO)
compare: ASKED = compare
soak: ASKED = soak --minutes $(SOAK_MINUTES)
compare soak load: setup
	cargo build --release --locked -p antiphon -p loadtest
	@target=$$(scripts/target-dir.sh)/release; \
	"$$target/loadtest" $(ASKED) --antiphon "$$target/antiphon" --out $(LOAD_RESULTS) $(LOAD_ARGS)

# Both start a server of their own from the release build, as it is shipped.
screenshots bench-ui: bundle
	@scripts/setup.sh test
	cargo build --release --locked -p antiphon -p loadtest
	@target=$$(scripts/target-dir.sh)/release; \
	ANTIPHON_BIN=$$target/antiphon LOADTEST_BIN=$$target/loadtest .venv/bin/python tests/e2e/$(subst -,_,$@).py

fuzz:
	@scripts/fuzz.sh 60
