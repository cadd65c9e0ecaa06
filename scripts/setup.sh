#!/usr/bin/env bash
# Installs what is missing, says what it does, and is quick when there is nothing to do.
#
#   scripts/setup.sh run    what serving needs: a C compiler and one to WebAssembly for the build, flite and PocketSphinx
#   scripts/setup.sh test   also PostgreSQL, Redis, a clock that can be set, a browser, and the official SDKs for Python
#                           and Node
#   scripts/setup.sh chart  of that only what the tests of the Helm chart and the image need: Helm's engine for Python,
#                           Prometheus and a sandbox
#   scripts/setup.sh lint   cargo's plugins that look at dependencies
#   scripts/setup.sh release  also what writes and checks the bill of materials
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}

say() { echo "setup: $*" >&2; }

stop() {
    say "$*"
    exit 1
}

# Rust comes first: nothing else is worth installing without it, and Debian's own is too old.
check_rust() {
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    command -v cargo >/dev/null || stop "Rust $wanted or newer is missing; please install it from https://rustup.rs"
    found=$(rustc --version | awk '{print $2}')
    [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ] ||
        stop "Rust $found is too old: $wanted or newer is needed; please install it from https://rustup.rs"
}

# A compiler without the C library's headers compiles nothing.
c_compiles() {
    echo '#include <stdlib.h>' | cc -x c -fsyntax-only - 2>/dev/null
}

postgresql_is_there() {
    command -v pg_ctl >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/pg_ctl' >/dev/null
}

python_makes_places() {
    python3 -c 'import venv, ensurepip' 2>/dev/null
}

# What is looked for is the thing itself, so that one installed by other means will do.
missing_packages() {
    c_compiles || echo gcc libc6-dev
    [ "$what" = run ] || python_makes_places || echo python3-venv
    [ "$what" != lint ] && [ "$what" != release ] || return 0
    [ "$what" = run ] || command -v bwrap >/dev/null || echo bubblewrap
    command -v flite >/dev/null || echo flite
    command -v pocketsphinx_continuous >/dev/null || echo pocketsphinx
    [ -f /usr/share/pocketsphinx/model/en-us/en-us/mdef ] || echo pocketsphinx-en-us
    [ "$what" = test ] || return 0
    postgresql_is_there || echo postgresql
    # For the certificate of that server.
    command -v openssl >/dev/null || echo openssl
    command -v redis-server >/dev/null && command -v redis-cli >/dev/null || echo redis-server
    compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || echo faketime
    [ -n "${CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v google-chrome >/dev/null || echo chromium
    # Without any, text in pictures of pages is boxes.
    compgen -G '/usr/share/fonts/truetype/*/*.ttf' >/dev/null || echo fonts-dejavu-core
    command -v node >/dev/null || echo nodejs
    command -v npm >/dev/null || echo npm
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

install_packages() {
    local log
    log=$(mktemp)
    # Package lists may be old or missing: they are fetched when the first try fails, and only then.
    # One broken source among several is no reason to stop, so the second try decides.
    if ! apt install --yes --no-install-recommends "$@" >"$log" 2>&1; then
        say "fetching package lists"
        apt update >>"$log" 2>&1 || true
        apt install --yes --no-install-recommends "$@" >>"$log" 2>&1 || {
            cat "$log" >&2
            rm -f "$log"
            return 1
        }
    fi
    rm -f "$log"
}

install_missing() {
    local missing
    mapfile -t missing < <(missing_packages | tr ' ' '\n')
    [ "${#missing[@]}" -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "this is not Debian; please install what these packages bring: ${missing[*]}"
    elif [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        say "neither root nor sudo, so this has to be done by hand: apt-get install ${missing[*]}"
    else
        say "installing ${missing[*]}"
        # Where sudo wants a password, it asks here and not into a log.
        if [ "$(id -u)" -eq 0 ] || sudo -v; then
            install_packages "${missing[@]}" && return 0
        fi
    fi
    # The gateway builds and serves without local speech, and says what is missing when asked for it.
    if [ "$what" != run ] || ! c_compiles; then
        stop "cannot go on without ${missing[*]} (apt-get install ${missing[*]})"
    fi
    say "going on without ${missing[*]}: the local provider will say what it lacks"
}

# rustup's compiler with its target, or Debian's, whose standard library `cargo xtask web` builds.
compiles_to_wasm() {
    local vendored
    [ -z "${WEB_RUSTC:-}" ] || return 0
    compgen -G "$(rustc --print target-libdir --target wasm32-unknown-unknown)/libstd-*.rlib" >/dev/null && return 0
    vendored=$(/usr/bin/rustc --print sysroot 2>/dev/null)/lib/rustlib/src/rust/library/vendor
    [ -d "$vendored" ] && compgen -c wasm-ld >/dev/null
}

# It stands alone, for what one system lacks must not keep the rest from being installed.
install_web_compiler() {
    local packages=(rustc-web rust-web-src lld-22)
    compiles_to_wasm && return 0
    # The smaller way first; it needs rustup's own servers.
    if command -v rustup >/dev/null; then
        say "adding rustup's target for WebAssembly, to compile the dashboard"
        timeout 120 rustup target add wasm32-unknown-unknown >/dev/null 2>&1 && compiles_to_wasm && return 0
    fi
    if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }; then
        say "installing ${packages[*]}, to compile the dashboard"
        install_packages "${packages[@]}" || true
    fi
    compiles_to_wasm && return 0
    say "nothing here compiles to WebAssembly. Please run: rustup target add wasm32-unknown-unknown"
    say "or, on Debian: apt-get install --no-install-recommends ${packages[*]}"
    [ "$what" = run ] || exit 1
    say "going on without: the gateway and its API serve, the dashboard says that it is not built"
}

# Marks name the state they were made from, so that a changed pin is installed again.
install_python_packages() {
    local wanted=$1 place=$2
    local mark=$place/requirements.installed
    [ -x "$place/bin/python" ] && cmp -s "$wanted" "$mark" && return 0
    say "installing Python packages into $place"
    # What an interrupted or outdated Python left behind is made again.
    "$place/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$place"
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check -r "$wanted" >&2
    cp "$wanted" "$mark"
}

install_node_packages() {
    local folder=tests/e2e/node
    cmp -s "$folder/package-lock.json" "$folder/node_modules/.installed" && return 0
    say "installing Node packages into $folder"
    npm ci --loglevel=error --no-update-notifier --no-audit --no-fund --prefix "$folder" >/dev/null
    cp "$folder/package-lock.json" "$folder/node_modules/.installed"
}

# The package itself would start a server on this machine, so only the programs are taken out of it. They are optional:
# where they are missing, the tests that need them say so.
install_prometheus() {
    local place=$PWD/.venv/chart/bin folder
    if [ -x "$place/prometheus" ] || command -v prometheus >/dev/null || ! command -v apt-get >/dev/null; then
        return 0
    fi
    say "fetching Prometheus into $place"
    folder=$(mktemp -d)
    (
        cd "$folder"
        apt-get -qq download prometheus || { apt update && apt-get -qq download prometheus; }
        dpkg-deb -x prometheus_*.deb .
        install -m 755 usr/bin/promtool usr/bin/prometheus "$place"
    ) >"$folder/log" 2>&1 || say "going on without Prometheus: $(tail -n 1 "$folder/log")"
    rm -rf "$folder"
}

install_for_chart() {
    install_python_packages tests/chart/requirements.txt .venv/chart
    install_prometheus
}

install_tools() {
    install_python_packages scripts/release/tools.txt .venv/tools
}

case "$what" in
run | test | chart | lint | release) ;;
*) stop "usage: $0 run | test | chart | lint | release" ;;
esac
check_rust
install_missing
case "$what" in
lint)
    install_tools
    exit 0
    ;;
release)
    install_tools
    install_python_packages tests/release/requirements.txt .venv/release
    exit 0
    ;;
esac
[ "$what" = chart ] || install_web_compiler
if [ "$what" = test ]; then
    install_python_packages tests/release/requirements.txt .venv/release
    install_python_packages tests/e2e/requirements.txt .venv/e2e
    # Its libraries are older than those of the other SDKs.
    install_python_packages tests/e2e/ultravox/requirements.txt .venv/ultravox
    install_node_packages
fi
if [ "$what" != run ]; then
    install_for_chart
fi
