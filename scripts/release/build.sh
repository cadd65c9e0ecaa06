#!/usr/bin/env bash
# Builds what is published: the program with its dashboard, which is the same wherever it is built from the same commit
# by the same toolchain, its bill of materials, and the licences of what is inside. See docs/releasing.md.
#
#   scripts/release/build.sh FOLDER            all of it
#   scripts/release/build.sh FOLDER PACKAGE    only a program of the workspace, to look at the build itself
#
# What an earlier run has left in FOLDER is made anew; where anything else is in it, nothing is done.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(realpath -m "${1:?"usage: $0 FOLDER [PACKAGE]"}")
package=${2:-antiphon}
made=("$package")
[ "$package" != antiphon ] || made+=(antiphon.cdx.json THIRD-PARTY.txt)
# A folder of its own: other builds have other flags.
target=$(scripts/target-dir.sh)/reproducible

# Folders of this machine get names that are the same everywhere. Of those that match, the last one counts.
names=("$PWD=/antiphon" "${CARGO_HOME:-$HOME/.cargo}=/cargo" "$target=/target")
flags=$(printf -- '--remap-path-prefix=%s\x1f' "${names[@]}")
export CARGO_ENCODED_RUSTFLAGS=${flags%$'\x1f'}
# The same for what is written in C, whose flags are told apart by blanks.
CFLAGS=$(printf -- '-ffile-prefix-map=%s ' "${names[@]}")
export CFLAGS
unset RUSTFLAGS CXXFLAGS
# The time of the commit, for whatever asks for one; nothing of ours does.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C

# The whole folder is published, so what is not of this build must not be in it; and the folder may be any.
mkdir -p "$folder"
foreign=(! -name SHA256SUMS)
for file in "${made[@]}"; do
    foreign+=(! -name "$file")
done
others=$(find "$folder" -mindepth 1 -maxdepth 1 "${foreign[@]}")
if [ -n "$others" ]; then
    echo "release: this is not of a release, and stays: $others" >&2
    exit 1
fi
(cd "$folder" && rm -f -- "${made[@]}" SHA256SUMS)
if [ "$package" = antiphon ]; then
    env -u CFLAGS -u CARGO_ENCODED_RUSTFLAGS cargo xtask web
fi
cargo build --release --locked --target-dir "$target" --package "$package"
# Names of functions stay, for what a panic tells; as the image has it.
strip --strip-debug -o "$folder/$package" "$target/release/$package"
if [ "$package" = antiphon ]; then
    .venv/release/bin/python scripts/release/sbom.py "$folder/antiphon.cdx.json"
    python3 scripts/release/licences.py "$folder/THIRD-PARTY.txt"
fi
(cd "$folder" && sha256sum -- "${made[@]}" | tee SHA256SUMS)
