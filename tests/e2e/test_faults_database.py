"""PostgreSQL fails in every way it can while calls go on: each is served, and afterwards the records are those of what
the provider had, to the billionth of a dollar, and budgets hold to the last call."""

import signal

import pytest
from conftest import wait_for
from faults import Faulty, Proxy, Server, Traffic, check_budget, check_exact, openai


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


def away(told):
    return told["database"] == "unreachable" and told["status"] == "ready" and told["journal"]["pending_records"] > 0


def whole_afterwards(gateway, openai, rows, spent):
    """What is left of the budget is spent; then everything is compared."""
    served = spent + gateway.spend_the_rest()
    gateway.delivered()
    check_exact(openai, rows())
    check_budget(rows(), served)
    assert gateway.stop(signal.SIGTERM) == 0
    assert "panicked" not in gateway.log.read_text()


def blocked(server, name):
    """Backends of a gateway that wait for a lock inside of a transaction."""
    sql = f"SELECT pid FROM pg_stat_activity WHERE datname = '{name}' AND wait_event_type = 'Lock'"
    return server.run(sql) or None


def test_connections_killed_in_transactions_lose_and_double_nothing(server, openai, tmp_path):
    name = server.new_database()
    gateway = Faulty(tmp_path, openai, server.address(name))
    others = f"datname = '{name}' AND pid <> pg_backend_pid()"
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    with Traffic(gateway) as traffic:
        gateway.spend(10)
        for _ in range(2):
            # Records are written before their sums are, so this stops a batch half way.
            with server.locked(name, "usage_daily"):
                wait_for(lambda: blocked(server, name))
                before = server.run("SELECT count(*) FROM usage_records", name)
                server.run(kill)
                assert server.run("SELECT count(*) FROM usage_records", name) == before, "all of a batch or nothing"
                traffic.goes_on()
            gateway.until(lambda told: told["database"] == "ok")
        for _ in range(4):
            server.run(kill)
            traffic.goes_on()
    whole_afterwards(gateway, openai, lambda: server.rows(name), 10)


def test_a_database_that_stops_answering_is_told_and_waited_for(server, openai, tmp_path):
    name = server.new_database()
    gateway = Faulty(tmp_path, openai, server.address(name))
    with Traffic(gateway) as traffic:
        traffic.goes_on()
        with server.paused():
            gateway.spend(10)
            gateway.until(away)
            traffic.goes_on()
            assert gateway.speak().status_code == 200, "a key with a budget is served as well"
        traffic.goes_on()
        gateway.until(lambda told: told["database"] == "ok")
    whole_afterwards(gateway, openai, lambda: server.rows(name), 11)


def test_a_slow_database_slows_no_call(server, openai, tmp_path):
    name, proxy = server.new_database(), Proxy(server.port)
    gateway = Faulty(tmp_path, openai, server.address(name, proxy.port))
    with Traffic(gateway) as traffic:
        gateway.spend(10)
        proxy.delay_s = 0.2
        traffic.goes_on(10)
        proxy.delay_s = 0.0
    whole_afterwards(gateway, openai, lambda: server.rows(name), 10)
    proxy.stop()


def test_a_database_that_is_killed_and_comes_back_gets_everything_once(server, openai, tmp_path):
    name = server.new_database()
    gateway = Faulty(tmp_path, openai, server.address(name))
    with Traffic(gateway) as traffic:
        traffic.goes_on()
        server.kill()
        gateway.spend(10)
        gateway.until(away)
        traffic.goes_on(10)
        server.start_again()
        gateway.until(lambda told: told["database"] == "ok")
    whole_afterwards(gateway, openai, lambda: server.rows(name), 10)


def test_a_gateway_that_stops_and_starts_while_its_database_hangs_keeps_its_records(server, openai, tmp_path):
    name = server.new_database()
    gateway = Faulty(tmp_path, openai, server.address(name), "timeouts: { drain: 2s }\n")
    with Traffic(gateway) as traffic:
        traffic.goes_on()
        server.signal(signal.SIGSTOP)
        traffic.goes_on()
    gateway.spend(10)
    assert gateway.stop(signal.SIGTERM) == 0
    assert "stay in the journal" in gateway.log.read_text()
    server.signal(signal.SIGCONT)
    gateway = Faulty(tmp_path, openai, server.address(name))
    whole_afterwards(gateway, openai, lambda: server.rows(name), 10)


def test_a_replica_that_takes_over_has_every_record(openai, tmp_path):
    server = Server()
    try:
        name = server.new_database()
        port = server.follow()
        proxy = Proxy(server.port)
        gateway = Faulty(tmp_path, openai, server.address(name, proxy.port))
        with Traffic(gateway) as traffic:
            gateway.spend(10)
            traffic.goes_on()
            server.kill()
            gateway.until(away)
            traffic.goes_on()
            # At first it only reads, as one does that was not told yet.
            proxy.lead_to(port)
            traffic.goes_on()
            server.script("promote")
            gateway.until(lambda told: told["database"] == "ok")
        whole_afterwards(gateway, openai, lambda: server.rows(name, port), 10)
        proxy.stop()
    finally:
        server.stop()


@pytest.mark.long
def test_a_server_that_vanishes_without_a_word_is_left_for_the_one_in_its_place(server, openai, tmp_path):
    name, proxy = server.new_database(), Proxy(server.port)
    gateway = Faulty(tmp_path, openai, server.address(name, proxy.port))
    with Traffic(gateway) as traffic:
        gateway.spend(10)
        traffic.goes_on()
        proxy.silence()
        gateway.until(away)
        traffic.goes_on()
        gateway.until(lambda told: told["database"] == "ok", patience=3)
        # What is changed is heard of again as well.
        gateway.key_comes_into_force(tmp_path)
    whole_afterwards(gateway, openai, lambda: server.rows(name), 10)
    proxy.stop()
