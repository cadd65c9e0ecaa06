#!/usr/bin/env bash
# The direction of dependencies: domain and dialects do no I/O, so nothing that does may be in their
# tree; planes meet in the database, so the gateway never depends on an admin crate.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=0
forbid() {
    local crate=$1 pattern=$2 found
    found=$(cargo tree --locked --quiet -p "$crate" --edges normal --prefix none --format '{p}' | awk '{print $1}' |
        sort -u | grep -xE "$pattern" || true)
    if [ -n "$found" ]; then
        echo "$crate must not depend on: $(echo "$found" | tr '\n' ' ')" >&2
        failed=1
    fi
}

io='tokio|actix-web|actix-http|sea-orm|sqlx|fred|redis|hyper|reqwest|awc|tokio-tungstenite'
forbid domain "$io|dialects|audio|local-speech|entities|migration|gateway|antiphon"
forbid dialects "$io|audio|local-speech|entities|migration|gateway|antiphon"
forbid audio "$io|dialects|local-speech|entities|migration|gateway|antiphon"
# It runs programs, so tokio's processes are its trade; the network is not.
forbid local-speech "${io#tokio|}|rustls|dialects|entities|migration|pricing-seed|gateway|antiphon"
forbid pricing-seed 'actix-web|actix-http|fred|redis|hyper|reqwest|awc|tokio-tungstenite|dialects|audio|local-speech|migration|gateway|antiphon'
# Whoever has rows builds on it, so it knows none.
forbid database 'actix-web|actix-http|fred|redis|hyper|reqwest|awc|tokio-tungstenite|domain|dialects|entities|changes|usage-store|migration|pricing-seed|gateway|admin|antiphon'
forbid entities 'database|changes|usage-store|domain|dialects|gateway|antiphon'
forbid changes 'actix-web|actix-http|hyper|reqwest|awc|tokio-tungstenite|domain|dialects|audio|migration|gateway|admin|antiphon'
forbid replicas 'actix-web|actix-http|sea-orm|sqlx|hyper|reqwest|awc|tokio-tungstenite|dialects|audio|local-speech|entities|usage-store|changes|migration|pricing-seed|gateway|admin|antiphon'
forbid migration 'entities|changes|usage-store|domain|dialects|gateway|antiphon'
# Both planes write through it, so it is neither's.
forbid usage-store 'actix-web|actix-http|fred|redis|hyper|reqwest|awc|tokio-tungstenite|dialects|audio|local-speech|migration|pricing-seed|gateway|admin|antiphon'
forbid gateway 'admin|migration|pricing-seed|antiphon'
[ "$failed" -eq 0 ] && echo "dependencies point inward"
exit "$failed"
