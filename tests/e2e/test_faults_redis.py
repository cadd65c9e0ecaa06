"""The Redis that gateways share dies, and a replica takes its place as the sentinel says; or it is slow."""

import itertools
import os
import pathlib
import signal
import subprocess

import pytest
from conftest import ROOT, wait_for
from faults import HELD, Faulty, Proxy, Server, check_budget, openai
from test_shared_limits import Redis

SERVER = ROOT / "scripts" / "redis-for-tests.sh"
# A machine that compiles beside the tests answers late, which is no outage.
REDIS = 'redis: {{ url: "{url}", call_timeout: 2s, lease_ttl: 12s }}\n'


class Sentinel:
    """A Redis server, a replica, and a sentinel."""

    def __init__(self):
        told = subprocess.run([SERVER, "sentinel"], check=True, capture_output=True, text=True).stdout
        told = dict(line.removeprefix("export ").split("=", 1) for line in told.splitlines())
        self.url, self.dir = told["ANTIPHON_TEST_REDIS_URL"], pathlib.Path(told["ANTIPHON_TEST_REDIS_DIR"])
        self.port = self.url.split("?")[0].rsplit(":", 1)[1]

    def run(self, port, *command):
        return subprocess.run(["redis-cli", "-p", port, *command], capture_output=True, text=True, check=True).stdout

    def primary(self):
        return self.run(self.port, "sentinel", "get-master-addr-by-name", "main").split()[1]

    def kill_primary(self):
        """Kills it once its replica has all that it has."""
        port = self.primary()
        # Counts what has replicated of what this connection wrote, so it writes something.
        written = subprocess.run(
            ["redis-cli", "-p", port], input="set last word\nwait 1 0\n", capture_output=True, text=True, check=True
        )
        assert written.stdout.split() == ["OK", "1"]
        os.kill(int((self.dir / port / "pid").read_text()), signal.SIGKILL)

    def stop(self):
        subprocess.run([SERVER, "stop", self.dir], check=True)


@pytest.fixture
def database():
    database = Server()
    yield database
    database.stop()


@pytest.fixture
def sentinel():
    sentinel = Sentinel()
    yield sentinel
    sentinel.stop()


def test_a_replica_of_redis_takes_over_and_the_budget_holds_to_the_last_call(sentinel, database, openai, tmp_path):
    name, gateways = database.new_database(), []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        gateways.append(Faulty(tmp_path / folder, openai, database.address(name), REDIS.format(url=sentinel.url)))

    def all_share(told):
        return told["redis"]["status"] == "ok" and told["redis"]["gateways"] == 2

    for gateway in gateways:
        gateway.until(all_share)
    for gateway in gateways:
        gateway.spend(8)
    before = sentinel.primary()
    sentinel.kill_primary()
    # Whether Redis is away or another one answers already, calls are served.
    served = 16
    for gateway in itertools.islice(itertools.cycle(gateways), 10):
        gateway.spend(1)
        served += 1
    wait_for(lambda: sentinel.primary() != before)
    for gateway in gateways:
        gateway.until(all_share)
    served += sum(gateway.spend_the_rest() for gateway in gateways)
    # What could not be told while nobody answered may hold a call's worth until its lease ends.
    for gateway in gateways:
        wait_for(lambda gateway=gateway: gateway.spent()[1] == 0)
    served += sum(gateway.spend_the_rest() for gateway in gateways)
    for gateway in gateways:
        gateway.delivered()
    check_budget(database.rows(name), served)
    assert served == HELD
    assert [gateway.stop(signal.SIGTERM) for gateway in gateways] == [0, 0]


def test_a_slow_redis_is_waited_for_a_little_and_counts_every_call_once(database, openai, tmp_path):
    redis, name = Redis(), database.new_database()
    proxy = Proxy(int(redis.port))
    more = f'redis: {{ url: "redis://127.0.0.1:{proxy.port}", call_timeout: 2s, lease_ttl: 12s }}\n'
    gateway = Faulty(tmp_path, openai, database.address(name), more)
    gateway.until(lambda told: told["redis"]["status"] == "ok")
    gateway.spend(5)
    # There and back, and still within what is waited for.
    proxy.delay_s = 0.05
    gateway.spend(5)
    assert gateway.readiness()["redis"]["status"] == "ok"
    proxy.delay_s = 3.0
    gateway.spend(5)
    told = gateway.until(lambda told: told["redis"]["status"] == "unreachable")
    assert told["status"] == "ready"
    gateway.spend(5)
    proxy.delay_s = 0.0
    gateway.until(lambda told: told["redis"]["status"] == "ok")
    served = 20 + gateway.spend_the_rest()
    # What was asked of it and not waited for may hold a call's worth until its lease ends.
    wait_for(lambda: gateway.spent()[1] == 0)
    served += gateway.spend_the_rest()
    gateway.delivered()
    check_budget(database.rows(name), served)
    assert gateway.stop(signal.SIGTERM) == 0
    proxy.stop()
    redis.stop()
