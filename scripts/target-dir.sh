#!/bin/sh
# Where cargo puts what it builds: `target`, or what the environment or cargo's configuration says.
set -eu
cd "$(dirname "$0")/.."
cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/'
