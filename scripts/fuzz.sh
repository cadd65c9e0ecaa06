#!/usr/bin/env bash
# Runs each fuzz target for a while: scripts/fuzz.sh [SECONDS] [TARGET…]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
tools="$(scripts/target-dir.sh)/tools"
if [ ! -x "$tools/bin/cargo-fuzz" ]; then
    echo "fuzz: installing cargo-fuzz into $tools"
    cargo install --quiet --locked --root "$tools" cargo-fuzz --version 0.13.2
fi
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    mapfile -t targets < <(sed -n 's/^name = "\([a-z_]*\)"$/\1/p' fuzz/Cargo.toml)
fi
# The sanitizer's flags are open to nightly compilers only, unless a stable one is told that it may.
export RUSTC_BOOTSTRAP=1
for target in "${targets[@]}"; do
    echo "fuzz: $target for $seconds s"
    "$tools/bin/cargo-fuzz" run --target-dir "$(scripts/target-dir.sh)/fuzz" "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -print_final_stats=1
done
echo "fuzz: ${#targets[@]} targets found nothing"
