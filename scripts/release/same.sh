#!/usr/bin/env bash
# Builds the commit that is checked out twice, in two folders, and tells whether both are the same to the byte.
#
#   scripts/release/same.sh            everything that is published; an hour on two cores
#   scripts/release/same.sh PACKAGE    only a program of the workspace
set -euo pipefail
cd "$(dirname "$0")/../.."
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
# Paths of different length, so that one that is left shows.
for copy in "$place/one" "$place/another/place"; do
    git clone --quiet --no-hardlinks . "$copy"
    [ ! -d .venv ] || ln -s "$(realpath .venv)" "$copy/.venv"
    # Stronger than any other way to tell cargo: in one folder the second would be the first once more.
    CARGO_TARGET_DIR="$copy/target" "$copy/scripts/release/build.sh" "$copy/built" "$@"
    # Room for the second one.
    mv "$copy/built" "$place/built-${copy##*/}"
    rm -rf "$copy/target"
done
diff "$place"/built-*/SHA256SUMS
echo "same: both builds of $(git rev-parse HEAD) are equal"
