#!/bin/sh
# A throw-away PostgreSQL server for tests, on a random port of 127.0.0.1 and with no durability.
#
#   eval "$(scripts/postgres-for-tests.sh start)"   sets ANTIPHON_TEST_POSTGRES_URL and ANTIPHON_TEST_POSTGRES_DIR,
#                                                   and ANTIPHON_TEST_POSTGRES_CA, its self-made certificate
#   scripts/postgres-for-tests.sh stop "$ANTIPHON_TEST_POSTGRES_DIR"
set -eu

usage() {
    echo "usage: $0 start | stop DIR" >&2
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
        dirname "$(command -v pg_ctl)"
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
    # A port may be taken between choosing and binding it, so a few are tried.
    for attempt in 1 2 3 4 5; do
        port=$(od -An -N2 -tu2 /dev/urandom | awk '{print 20000 + $1 % 20000}')
        if unprivileged "$programs/pg_ctl" -D "$dir/data" -l "$dir/log" -w -t 30 -o \
            "-p $port -k $dir -h 127.0.0.1 -c ssl=on -c fsync=off -c synchronous_commit=off -c full_page_writes=off" \
            start >/dev/null 2>&1; then
            echo "export ANTIPHON_TEST_POSTGRES_URL=postgres://antiphon@127.0.0.1:$port/postgres"
            echo "export ANTIPHON_TEST_POSTGRES_DIR=$dir"
            echo "export ANTIPHON_TEST_POSTGRES_CA=$dir/data/server.crt"
            return
        fi
        echo "attempt $attempt on port $port failed" >&2
    done
    cat "$dir/log" >&2
    rm -rf "$dir"
    exit 1
}

stop() {
    # Only what start made is ever removed.
    case "$1" in
    /tmp/antiphon-postgres.??????) ;;
    *) echo "$1 was not made by $0" >&2 && exit 2 ;;
    esac
    cd /
    unprivileged "$(find_programs)/pg_ctl" -D "$1/data" -m immediate -w stop >/dev/null || true
    rm -rf "$1"
}

case "${1:-}" in
start) start ;;
stop) [ $# -eq 2 ] || usage && stop "$2" ;;
*) usage ;;
esac
