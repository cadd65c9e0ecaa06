#!/usr/bin/env bash
# What takes too long for every change: the simulated world under ten thousand seeds, and faults that last.
set -euo pipefail
cd "$(dirname "$0")/.."

# The whole workspace, as `make test` builds it: for one crate alone everything would be compiled again, with other
# features.
ANTIPHON_SIMULATION_SEEDS=${ANTIPHON_SIMULATION_SEEDS:-10000} cargo test --locked --workspace simulation::

target=$(scripts/target-dir.sh)
ANTIPHON_BIN=$target/debug/antiphon
LOADTEST_BIN=$target/debug/loadtest
export ANTIPHON_BIN LOADTEST_BIN
.venv/e2e/bin/python -m pytest tests/e2e -q -m long
