# run: build and serve · test: everything that is tested · lint: what reviews need not look at
# test-long: ten thousand simulated worlds · bench: the load suite · fuzz: each parser for a minute · build: the release binary only. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run build test test-long lint bench fuzz

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

test-long:
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
