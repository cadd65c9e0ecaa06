# run: build and serve · test: everything that is tested · lint: what reviews need not look at
# chart-test: the Helm chart and the image alone · test-long: ten thousand simulated worlds, and faults that last · bench: the load suite · fuzz: each parser for a minute · build: the release binary only. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run build test chart-test test-long lint bench fuzz

help:
	@sed -n '1,2s/^# //p' Makefile

setup:
	@scripts/setup.sh run

build: setup
	cargo build --release --locked -p antiphon

# cargo becomes the gateway, so that Ctrl-C and signals reach it.
run: setup
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
	cargo clippy --workspace --all-targets --locked -- -D warnings
	scripts/check-dependencies.sh

bench: setup
	cargo build --release --locked -p antiphon -p loadtest
	target=$$(scripts/target-dir.sh); "$$target/release/loadtest" bench --antiphon "$$target/release/antiphon"

fuzz:
	@scripts/fuzz.sh 60
