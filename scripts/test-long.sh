#!/usr/bin/env bash
# What takes too long for every change: the simulated world under ten thousand seeds.
set -euo pipefail
cd "$(dirname "$0")/.."

ANTIPHON_SIMULATION_SEEDS=${ANTIPHON_SIMULATION_SEEDS:-10000} \
    cargo test --locked -p gateway --lib simulation::
