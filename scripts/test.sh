#!/usr/bin/env bash
# Everything that is tested: unit, golden, property, contract and integration tests (on SQLite and on
# a PostgreSQL server of their own), then end to end with the official SDKs.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}

eval "$(scripts/postgres-for-tests.sh start)"
export ANTIPHON_TEST_POSTGRES_URL
trap 'scripts/postgres-for-tests.sh stop "$ANTIPHON_TEST_POSTGRES_DIR"' EXIT

cargo build --locked -p antiphon -p loadtest
cargo test --locked --workspace

ANTIPHON_BIN=$(realpath "$target/debug/antiphon")
LOADTEST_BIN=$(realpath "$target/debug/loadtest")
export ANTIPHON_BIN LOADTEST_BIN
# Runs the Node tests too, against the gateway that it starts.
.venv/bin/python -m pytest tests/e2e -q
