"""Two gateways on one Redis: what is open at them is known, and ended, without the database as well."""

import json
import signal
import subprocess
import time

import pytest
from conftest import Upstream, binary, wait_for
from test_replicas import Admin, Database, Talk, refused
from test_shared_limits import Redis, Sharing


class Pair:
    """Everything that runs."""

    def __init__(self, folder):
        self.folder, self.database, self.redis = folder, Database(), Redis()
        self.upstream = Upstream("openai", folder)
        self.gateways = [Sharing(folder, name, self.database, self.upstream, self.redis) for name in ("first", "second")]
        self.admin = Admin(self.gateways[0])

    def antiphon(self, *arguments):
        command = [binary("antiphon"), "sessions", *arguments, "--json", "--config", "first.yaml"]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        return json.loads(done.stdout) if done.returncode == 0 else done.stderr.strip()

    def listed(self, number, *options):
        """The sessions that are listed, once there are so many."""
        return wait_for(lambda: rows if len(rows := self.antiphon("list", *options)) == number else None)

    def stop(self):
        for gateway in self.gateways:
            if gateway.process.poll() is None:
                assert gateway.stop(signal.SIGTERM) == 0
            assert "panicked" not in gateway.log.read_text()
        self.upstream.stop(signal.SIGINT)
        self.redis.stop()
        self.database.stop()


def kill(gateway):
    gateway.process.kill()
    gateway.process.wait()


@pytest.fixture
def pair(tmp_path):
    pair = Pair(tmp_path)
    yield pair
    pair.stop()


def test_sessions_are_listed_and_ended_while_the_database_is_away(pair):
    tenant = pair.admin.post("/tenants", {"name": "acme"})
    made = pair.admin.post("/keys", {"tenant_id": tenant["id"], "name": "made"})
    clients = [gateway.client(made["secret"]) for gateway in pair.gateways]
    for client in clients:
        wait_for(lambda: not refused(client))
    pair.database.stop()
    first = Talk(clients[0])
    [kept] = pair.listed(1, "--key", made["id"])
    Talk(clients[1])
    rows = pair.listed(2, "--tenant", tenant["id"])
    assert {(row["kind"], row["provider"], row["key_id"]) for row in rows} == {("realtime", "openai", made["id"])}
    assert len({row["gateway_id"] for row in rows}) == 2, "one at each"
    assert pair.antiphon("list", "--key", tenant["id"]) == [], "a key that has none"

    kill(pair.gateways[1])
    assert [row["id"] for row in pair.listed(1)] == [kept["id"]], "what died with its gateway is gone"
    since = time.monotonic()
    assert pair.antiphon("terminate", kept["id"], "--reason", "tests") == {"id": kept["id"], "tenant_id": tenant["id"]}
    assert first.told(since) == ("session_terminated", 1008, "ended by an administrator: tests")
    pair.listed(0)
    assert "there is no session" in pair.antiphon("terminate", kept["id"])
    # It would wait half a minute for the database.
    kill(pair.gateways[0])


def test_changes_are_told_through_redis(pair):
    listening = lambda: pair.redis.run("pubsub", "numsub", "antiphon:changes").split()[-1]
    wait_for(lambda: listening() == "2")
    command = ["redis-cli", "-p", pair.redis.port, "subscribe", "antiphon:changes"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as heard:
        assert [heard.stdout.readline().strip() for _ in range(3)] == ["subscribe", "antiphon:changes", "1"]
        pair.admin.post("/tenants", {"name": "acme"})
        assert heard.stdout.readline().strip() == "message"
        heard.kill()
