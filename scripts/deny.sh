#!/usr/bin/env bash
# Rules for dependencies: deny.toml says them, for the product and for what builds its dashboard.
#
#   scripts/deny.sh lint     bans, licences and sources, without a network; dependencies that no code uses
#   scripts/deny.sh audit    advisories and yanked versions, with a network
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/.venv/tools/bin
manifests=(Cargo.toml xtask/Cargo.toml)

deny() {
    local manifest=$1
    shift
    # It warns of each version that is there twice, which docs/decisions/dependencies.md tells of.
    "$tools/cargo-deny" --locked --log-level error --config deny.toml --manifest-path "$manifest" check "$@"
}

case ${1:-} in
lint)
    for manifest in "${manifests[@]}"; do
        deny "$manifest" bans licenses sources
    done
    "$tools/cargo-shear" --locked
    ;;
audit)
    # One try, so that a machine without a network is told so, and not that nothing was found.
    if ! "$tools/cargo-deny" --config deny.toml --log-level error fetch db; then
        echo "audit: the advisory database cannot be fetched, so NOTHING was checked" >&2
        exit 2
    fi
    for manifest in "${manifests[@]}"; do
        deny "$manifest" advisories
    done
    ;;
*)
    echo "usage: $0 lint | audit" >&2
    exit 2
    ;;
esac
