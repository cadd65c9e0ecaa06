#!/bin/sh
# A throw-away Redis server for tests, on a random port of 127.0.0.1 and with nothing on disk.
#
#   eval "$(scripts/redis-for-tests.sh start)"    sets ANTIPHON_TEST_REDIS_URL and ANTIPHON_TEST_REDIS_DIR
#   eval "$(scripts/redis-for-tests.sh cluster)"  the same for a cluster of three nodes and a replica of the first
#   eval "$(scripts/redis-for-tests.sh sentinel)" the same for a server, a replica, and a sentinel that watches both
#   scripts/redis-for-tests.sh stop "$ANTIPHON_TEST_REDIS_DIR"
set -eu

usage() {
    echo "usage: $0 start | cluster | sentinel | stop DIR" >&2
    exit 2
}

new_dir() {
    command -v redis-server >/dev/null || {
        echo "Redis' server is not installed (Debian: apt-get install redis-server)" >&2
        exit 1
    }
    mktemp -d /tmp/antiphon-redis.XXXXXX
}

# Gives the port of a new server, whose files are in a folder of that name below the one given, with the file `config`
# where there is one. A port may be taken between choosing and binding it, so a few are tried.
server() {
    dir=$1
    shift
    for attempt in 1 2 3 4 5; do
        # A node of a cluster takes the port 10000 above as well.
        port=$(od -An -N2 -tu2 /dev/urandom | awk '{print 20000 + $1 % 20000}')
        mkdir "$dir/$port"
        # What runs in the background must not keep the caller's output open.
        redis-server ${config:+"$config"} --port "$port" --bind 127.0.0.1 --dir "$dir/$port" --save '' --appendonly no \
            --daemonize yes --pidfile "$dir/$port/pid" --logfile "$dir/$port/log" "$@" >/dev/null
        for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
            if [ "$(redis-cli -p "$port" ping 2>/dev/null)" = PONG ] && [ -f "$dir/$port/pid" ]; then
                echo "$port"
                return
            fi
            sleep 0.1
        done
        echo "attempt $attempt on port $port failed" >&2
    done
    exit 1
}

told() {
    echo "export ANTIPHON_TEST_REDIS_URL=$1"
    echo "export ANTIPHON_TEST_REDIS_DIR=$2"
}

start() {
    dir=$(new_dir)
    port=$(server "$dir") || give_up "$dir"
    told "redis://127.0.0.1:$port" "$dir"
}

cluster() {
    dir=$(new_dir)
    set -- --cluster-enabled yes --cluster-node-timeout 1000 --repl-diskless-sync-delay 0
    one=$(server "$dir" "$@") || give_up "$dir"
    two=$(server "$dir" "$@") || give_up "$dir"
    three=$(server "$dir" "$@") || give_up "$dir"
    spare=$(server "$dir" "$@") || give_up "$dir"
    redis-cli --cluster create "127.0.0.1:$one" "127.0.0.1:$two" "127.0.0.1:$three" --cluster-yes >/dev/null ||
        give_up "$dir"
    redis-cli --cluster add-node "127.0.0.1:$spare" "127.0.0.1:$one" --cluster-slave \
        --cluster-master-id "$(redis-cli -p "$one" cluster myid)" >/dev/null || give_up "$dir"
    for port in "$one" "$two" "$three" "$spare"; do
        until redis-cli -p "$port" cluster info | grep -q cluster_state:ok &&
            redis-cli -p "$port" cluster nodes | grep -q slave; do sleep 0.1; done
    done
    until redis-cli -p "$spare" role | grep -q '^connected'; do sleep 0.1; done
    told "redis-cluster://127.0.0.1:$one?node=127.0.0.1:$two&node=127.0.0.1:$three" "$dir" | sed 's/&/\\\&/'
}

sentinel() {
    dir=$(new_dir)
    one=$(server "$dir" --repl-diskless-sync-delay 0) || give_up "$dir"
    two=$(server "$dir" --replicaof 127.0.0.1 "$one") || give_up "$dir"
    until redis-cli -p "$two" role | grep -q '^connected'; do sleep 0.1; done
    # It keeps what it learns in this file.
    cat >"$dir/sentinel.conf" <<END
sentinel monitor main 127.0.0.1 $one 1
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 2000
END
    watching=$(config=$dir/sentinel.conf server "$dir" --sentinel) || give_up "$dir"
    until redis-cli -p "$watching" sentinel replicas main | grep -q "^$two$"; do sleep 0.1; done
    told "redis-sentinel://127.0.0.1:$watching?sentinelServiceName=main" "$dir"
}

give_up() {
    cat "$1"/*/log >&2 || true
    stop "$1"
    exit 1
}

stop() {
    # Only what start made is ever ended and removed.
    case "$1" in
    /tmp/antiphon-redis.??????) ;;
    *) echo "$1 was not made by $0" >&2 && exit 2 ;;
    esac
    for file in "$1"/*/pid; do
        # The server removes the file some time before it ends.
        pid=$(cat "$file" 2>/dev/null) || continue
        kill "$pid" 2>/dev/null || true
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
    done
    rm -rf "$1"
}

case "${1:-}" in
start) start ;;
cluster) cluster ;;
sentinel) sentinel ;;
stop) [ $# -eq 2 ] || usage && stop "$2" ;;
*) usage ;;
esac
