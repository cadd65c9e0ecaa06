#!/bin/sh
# How long the questions of a dashboard take over a year of usage records, on SQLite and on PostgreSQL.
#
#   scripts/usage-bench.sh [RECORDS]   five million unless told; needs about 6 GiB below $TMPDIR for a while
set -eu
cd "$(dirname "$0")/.."

records=${1:-5000000}
folder=$(mktemp -d)
postgres=
cleanup() {
    rm -rf "$folder"
    [ -z "$postgres" ] || scripts/postgres-for-tests.sh stop "$postgres"
}
trap cleanup EXIT

cargo build --quiet --locked --release -p usage-store --example dashboard
program=${CARGO_TARGET_DIR:-target}/release/examples/dashboard
echo "SQLite, milliseconds:"
"$program" "sqlite://$folder/year.db?mode=rwc" "$records"
settings=$(scripts/postgres-for-tests.sh start)
eval "$settings"
postgres=$ANTIPHON_TEST_POSTGRES_DIR
echo "PostgreSQL, milliseconds:"
"$program" "$ANTIPHON_TEST_POSTGRES_URL" "$records"
