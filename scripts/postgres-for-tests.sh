#!/bin/sh
# A throw-away PostgreSQL server for tests, on a random port of 127.0.0.1 and with no durability.
#
#   eval "$(scripts/postgres-for-tests.sh start)"   sets ANTIPHON_TEST_POSTGRES_URL and ANTIPHON_TEST_POSTGRES_DIR,
#                                                   and ANTIPHON_TEST_POSTGRES_CA, its self-made certificate
#   scripts/postgres-for-tests.sh again DIR         starts it again, after it was killed
#   scripts/postgres-for-tests.sh replica DIR       starts a second server that follows it, in DIR/replica
#   scripts/postgres-for-tests.sh promote DIR       makes that one take its place
#   scripts/postgres-for-tests.sh stop "$ANTIPHON_TEST_POSTGRES_DIR"
set -eu

usage() {
    echo "usage: $0 start | again DIR | replica DIR | promote DIR | stop DIR" >&2
    exit 2
}

# PostgreSQL refuses to run as root.
unprivileged() {
    if [ "$(id -u)" -ne 0 ]; then
        "$@"
    elif id postgres >/dev/null 2>&1; then
        setpriv --reuid=postgres --regid=postgres --clear-groups -- env HOME=/tmp "$@"
    else
        setpriv --reuid=nobody --regid=nogroup --clear-groups -- env HOME=/tmp "$@"
    fi
}

# pg_ctl is on the path, or where Debian keeps it: the newest version wins.
find_programs() {
    if command -v pg_ctl >/dev/null 2>&1; then
        dirname "$(readlink -f "$(command -v pg_ctl)")"
        return
    fi
    newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
    [ -n "$newest" ] || {
        echo "PostgreSQL's server is not installed (Debian: apt-get install postgresql)" >&2
        exit 1
    }
    echo "$newest"
}

start() {
    programs=$(find_programs)
    cd /
    dir=$(unprivileged mktemp -d /tmp/antiphon-postgres.XXXXXX)
    unprivileged "$programs/initdb" -D "$dir/data" -U antiphon -A trust -E UTF8 --locale=C --no-sync >/dev/null
    unprivileged openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
        -subj /CN=antiphon-test -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE \
        -keyout "$dir/data/server.key" -out "$dir/data/server.crt" 2>/dev/null
    port=$(serve "$dir/data") || give_up "$dir"
    echo "export ANTIPHON_TEST_POSTGRES_URL=postgres://antiphon@127.0.0.1:$port/postgres"
    echo "export ANTIPHON_TEST_POSTGRES_DIR=$dir"
    echo "export ANTIPHON_TEST_POSTGRES_CA=$dir/data/server.crt"
}

# Starts a server on these files and gives its port, which may be taken between choosing and binding it, so a few are
# tried.
serve() {
    for attempt in 1 2 3 4 5; do
        port=$(od -An -N2 -tu2 /dev/urandom | awk '{print 20000 + $1 % 20000}')
        if run "$1" "$port"; then
            echo "$port"
            return
        fi
        echo "attempt $attempt on port $port failed" >&2
    done
    exit 1
}

run() {
    unprivileged "$programs/pg_ctl" -D "$1" -l "$1.log" -w -t 30 -o \
        "-p $2 -k ${1%/*} -h 127.0.0.1 -c ssl=on -c fsync=off -c synchronous_commit=off -c full_page_writes=off" \
        start >/dev/null 2>&1
}

port_of() {
    tr ' ' '\n' <"$1/postmaster.opts" | tr -d '"' | sed -n '/^-p$/{n;p;}'
}

again() {
    programs=$(find_programs)
    made_here "$1"
    cd /
    # These hold the number of a process that nobody may have waited for yet.
    rm -f "$1/data/postmaster.pid" "$1"/.s.PGSQL.*
    run "$1/data" "$(port_of "$1/data")" || {
        cat "$1/data.log" >&2
        exit 1
    }
}

replica() {
    programs=$(find_programs)
    made_here "$1"
    cd /
    unprivileged "$programs/pg_basebackup" -d "host=127.0.0.1 port=$(port_of "$1/data") user=antiphon" \
        -D "$1/replica" -R -X stream -c fast --no-sync >&2
    echo "export ANTIPHON_TEST_POSTGRES_REPLICA_PORT=$(serve "$1/replica")"
}

promote() {
    made_here "$1"
    cd /
    unprivileged "$(find_programs)/pg_ctl" -D "$1/replica" -w promote >/dev/null
}

give_up() {
    cat "$1"/*.log >&2 || true
    rm -rf "$1"
    exit 1
}

# Only what start made is ever changed and removed.
made_here() {
    case "$1" in
    /tmp/antiphon-postgres.??????) ;;
    *) echo "$1 was not made by $0" >&2 && exit 2 ;;
    esac
}

stop() {
    made_here "$1"
    cd /
    for data in "$1/replica" "$1/data"; do
        [ ! -d "$data" ] || unprivileged "$(find_programs)/pg_ctl" -D "$data" -m immediate -w stop >/dev/null || true
    done
    rm -rf "$1"
}

case "${1:-}" in
start) start ;;
again | replica | promote | stop) [ $# -eq 2 ] || usage && "$1" "$2" ;;
*) usage ;;
esac
