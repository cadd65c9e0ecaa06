#!/usr/bin/env bash
# Everything that is tested: unit, golden, property, contract and integration tests (on SQLite and on
# a PostgreSQL and a Redis server of their own), then the Helm chart and the image, then end to end with the official SDKs.
set -euo pipefail
cd "$(dirname "$0")/.."

# In two steps, so that a server that does not start ends this here.
settings=$(scripts/postgres-for-tests.sh start)
eval "$settings"
stop_servers() {
    scripts/postgres-for-tests.sh stop "$ANTIPHON_TEST_POSTGRES_DIR"
    [ -z "${ANTIPHON_TEST_REDIS_DIR:-}" ] || scripts/redis-for-tests.sh stop "$ANTIPHON_TEST_REDIS_DIR"
}
trap stop_servers EXIT
settings=$(scripts/redis-for-tests.sh start)
eval "$settings"

# What the server of the end-to-end tests shows in a browser.
cargo run --quiet --locked --manifest-path xtask/Cargo.toml -- web --dev
# This also builds the two programs: a build of their own would compile tokio, and all that stands on
# it, a second time with other features.
cargo test --locked --workspace

target=$(scripts/target-dir.sh)
ANTIPHON_BIN=$target/debug/antiphon
LOADTEST_BIN=$target/debug/loadtest
export ANTIPHON_BIN LOADTEST_BIN
OPENAI_API_KEY=sk-example AZURE_OPENAI_API_KEY=example GROQ_API_KEY=gsk_example \
    ACME_KEY=example-key-of-acme-0123456789 "$ANTIPHON_BIN" config check antiphon.example.yaml
echo "test: versions, changelog, licences and the bill of materials"
.venv/release/bin/python -m pytest tests/release -q
echo "test: the Helm chart with its alert rules and dashboards, and the image"
.venv/chart/bin/python -m pytest tests/chart -q
.venv/chart/bin/python -m pytest tests/image -q
echo "test: end to end, with the official SDKs for Python and Node"
.venv/e2e/bin/python -m pytest tests/e2e -q -m alone
# Most tests wait for something most of the time.
.venv/e2e/bin/python -m pytest tests/e2e -q --numprocesses $(($(nproc) < 4 ? $(nproc) + 1 : 5)) --dist loadfile
