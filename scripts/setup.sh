#!/usr/bin/env bash
# Installs what is missing, says what it does, and is quick when there is nothing to do.
#
#   scripts/setup.sh run    what serving needs: a C compiler for the build, flite and PocketSphinx
#   scripts/setup.sh test   also PostgreSQL, and the official SDKs for Python and Node
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}

say() { echo "setup: $*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "cannot install packages: neither root nor sudo. Please run: apt-get install ${missing[*]}"
        return 1
    fi
}

installed() {
    dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed
}

packages=(flite pocketsphinx pocketsphinx-en-us)
command -v cc >/dev/null || packages+=(build-essential)
if [ "$what" = test ]; then
    ls /usr/lib/postgresql/*/bin/pg_ctl >/dev/null 2>&1 || command -v pg_ctl >/dev/null || packages+=(postgresql)
    python3 -c 'import venv, ensurepip' 2>/dev/null || packages+=(python3-venv)
    command -v node >/dev/null || packages+=(nodejs)
    command -v npm >/dev/null || packages+=(npm)
fi

missing=()
for package in "${packages[@]}"; do
    installed "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ] && ! command -v apt-get >/dev/null; then
    say "this is not Debian; please install by hand: ${missing[*]}"
elif [ "${#missing[@]}" -gt 0 ]; then
    say "installing ${missing[*]}"
    install_packages() {
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends -qq "${missing[@]}" >&2
    }
    # The package lists may be old or missing: they are fetched once, and only then.
    install_packages || { as_root apt-get update -qq && install_packages; }
fi

if ! command -v cargo >/dev/null; then
    say "Rust is missing; please install it from https://rustup.rs (rust-version in Cargo.toml)"
    exit 1
fi

[ "$what" = test ] || exit 0

# Marks name the state they were made from, so that a changed pin is installed again.
requirements=tests/e2e/requirements.txt
if [ -f "$requirements" ] && ! cmp -s "$requirements" .venv/requirements.installed; then
    say "installing Python packages into .venv"
    [ -x .venv/bin/python ] || python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements" >&2
    cp "$requirements" .venv/requirements.installed
fi
lock=tests/e2e/node/package-lock.json
if [ -f "$lock" ] && ! cmp -s "$lock" tests/e2e/node/node_modules/.installed; then
    say "installing Node packages into tests/e2e/node"
    npm ci --silent --no-audit --no-fund --prefix tests/e2e/node >&2
    cp "$lock" tests/e2e/node/node_modules/.installed
fi
