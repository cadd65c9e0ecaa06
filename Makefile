# run: build and serve · test: everything that is tested · lint: what reviews need not look at
# bench: the load suite. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run build test lint bench

TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)

help:
	@sed -n '1,2s/^# //p' Makefile

setup:
	@scripts/setup.sh run

build:
	cargo build --release --locked -p antiphon

run: setup build
	$(TARGET_DIR)/release/antiphon serve

test:
	@scripts/setup.sh test
	scripts/test.sh

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	scripts/check-dependencies.sh
	OPENAI_API_KEY=sk-example AZURE_OPENAI_API_KEY=example GROQ_API_KEY=gsk_example \
		ACME_KEY=example-key-of-acme-0123456789 \
		cargo run --quiet --locked -p antiphon -- config check antiphon.example.yaml

bench: setup
	cargo build --release --locked -p antiphon -p loadtest
	$(TARGET_DIR)/release/loadtest bench --antiphon $(TARGET_DIR)/release/antiphon
