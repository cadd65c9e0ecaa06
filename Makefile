# run: build and serve · test: everything that is tested · lint: what reviews need not look at
# screenshots: pictures of every page · bench-ui: the dashboard's size and speed · chart-test: the Helm chart and the image alone · test-long: ten thousand simulated worlds, and faults that last · bench: the load suite's table · load SCENARIO=mixed: a scenario and its report · compare: what gateways add over none · soak: an hour of traffic and faults, and what is left of it (SOAK_MINUTES) · fuzz: each parser for a minute · build: the release binary only
# release: what is published · sbom, licences: parts of it · image: the container image · audit: known holes in dependencies. `make` alone lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup bundle run build test chart-test test-long lint bench load compare soak bench-ui screenshots fuzz release sbom licences image audit

help:
	@sed -n '1,3s/^# //p' Makefile

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
	@scripts/setup.sh lint
	cargo fmt --all --check
	cargo fmt --manifest-path xtask/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --manifest-path xtask/Cargo.toml --locked -- -D warnings
	scripts/check-dependencies.sh
	scripts/deny.sh lint
	python3 scripts/release/dependencies.py
	python3 scripts/release/version.py --check
	python3 scripts/release/changelog.py --check

bench: setup
	cargo build --release --locked -p antiphon -p loadtest
	target=$$(scripts/target-dir.sh); "$$target/release/loadtest" bench --antiphon "$$target/release/antiphon"

# Each starts a gateway of its own in release, in front of scripted providers. Results are in load-results, or in LOAD_RESULTS;
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
	ANTIPHON_BIN=$$target/antiphon LOADTEST_BIN=$$target/loadtest .venv/e2e/bin/python tests/e2e/$(subst -,_,$@).py

fuzz:
	@scripts/fuzz.sh 60

# See docs/releasing.md.
release: setup
	@scripts/setup.sh release
	@scripts/release/build.sh "$$(scripts/target-dir.sh)/dist"

sbom:
	@scripts/setup.sh release
	@.venv/release/bin/python scripts/release/sbom.py "$$(scripts/target-dir.sh)/dist/antiphon.cdx.json"

licences:
	@python3 scripts/release/licences.py "$$(scripts/target-dir.sh)/dist/THIRD-PARTY.txt"

# WITH=speech: also flite and PocketSphinx.
image:
	@version=$$(python3 scripts/release/version.py); \
	docker build --build-arg VERSION=$$version --build-arg COMMIT=$$(git describe --always --dirty --abbrev=12 --exclude='*') \
		--build-arg WITH=$(WITH) -t antiphon:$$version$(addprefix -,$(WITH)) .

audit:
	@scripts/setup.sh lint
	@scripts/deny.sh audit
