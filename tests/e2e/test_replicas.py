"""Two gateways on one PostgreSQL server: what is changed anywhere holds at both, at once."""

import contextlib
import glob
import json
import pathlib
import signal
import subprocess
import threading
import time

import openai
import pytest
from conftest import PATIENCE_S, ROOT, Program, Upstream, binary, wait_for
from realtime import until
from websockets.exceptions import ConnectionClosed

# What is promised of a change: new requests, and sessions that are open.
REFUSED_WITHIN_S = 1.0
ENDED_WITHIN_S = 2.0
MODEL = "openai/gpt-realtime-2.1"
SERVER = ROOT / "scripts" / "postgres-for-tests.sh"

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  metrics: {{ bind: "127.0.0.1:0" }}
  data_dir: {name}
database: {{ url: "{database}" }}
secrets: {{ master_key: "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" }}
providers:
  - {{ name: openai, kind: openai, api_key: sk-upstream, base_url: "{openai}/v1", allow_insecure: true }}
"""


class Database:
    """A PostgreSQL server of its own."""

    def __init__(self):
        told = subprocess.run([SERVER, "start"], check=True, capture_output=True, text=True).stdout
        self.told = dict(line.removeprefix("export ").split("=", 1) for line in told.splitlines())
        self.url = self.told["ANTIPHON_TEST_POSTGRES_URL"]
        self.psql = max(glob.glob("/usr/lib/postgresql/*/bin/psql"), default="psql")

    def run(self, sql):
        """Runs statements in one transaction and gives the rows of the last, as text."""
        command = [self.psql, self.url, "-X", "-q", "-A", "-t", "-1", "-v", "ON_ERROR_STOP=1", "-c", sql]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    def stop(self):
        subprocess.run([SERVER, "stop", self.told["ANTIPHON_TEST_POSTGRES_DIR"]], check=True)


class Replica(Program):
    """One gateway of several."""

    def __init__(self, folder, name, database, upstream):
        config = CONFIG.format(name=name, database=database.url, openai=upstream.url)
        (folder / f"{name}.yaml").write_text(config)
        super().__init__([binary("antiphon"), "serve", "--config", f"{name}.yaml"], folder, name)

    def client(self, key):
        return openai.OpenAI(api_key=key, base_url=f"{self.url}/v1", timeout=PATIENCE_S, max_retries=0)


@pytest.fixture(scope="module")
def database():
    database = Database()
    yield database
    database.stop()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory, database):
    folder = tmp_path_factory.mktemp("replicas")
    upstream = Upstream("openai", folder)
    running = [Replica(folder, name, database, upstream) for name in ("first", "second")]
    yield running
    statuses = [replica.stop(signal.SIGTERM) for replica in running]
    upstream.stop(signal.SIGINT)
    assert statuses == [0, 0]
    assert database.run("SELECT count(*) FROM gateway_instances") == ["0"], "they have said goodbye"
    for replica in running:
        assert "panicked" not in replica.log.read_text()


def key(replica, *arguments):
    """Runs `antiphon key …` in a process of its own."""
    command = [binary("antiphon"), "key", *arguments, "--json", "--config", "first.yaml"]
    folder = pathlib.Path(replica.log).parent
    return json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)


def refused(client):
    try:
        client.models.list()
    except openai.AuthenticationError:
        return True
    return None


@pytest.fixture
def made(replicas):
    """A new key of a tenant, and a client of each replica that knows it."""
    with contextlib.ExitStack() as open_clients:

        def make(tenant):
            created = key(replicas[0], "create", "--tenant", tenant, "--name", "made")
            clients = [open_clients.enter_context(replica.client(created["key"])) for replica in replicas]
            for client in clients:
                wait_for(lambda: None if refused(client) else True)
            return created, clients

        yield make


class Talk(threading.Thread):
    """An open session that waits for its end."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.events, self.close, self.ended = client, [], None, None
        self.opened = threading.Event()
        self.start()
        assert self.opened.wait(PATIENCE_S)

    def run(self):
        with self.client.realtime.connect(model=MODEL) as session:
            until(session, "session.created")
            self.opened.set()
            try:
                while True:
                    self.events.append(session.recv())
            except ConnectionClosed as closed:
                self.ended, self.close = time.monotonic(), closed.rcvd

    def told(self, since):
        """The code of its last event, the code and the reason of its close, once it has ended in time."""
        self.join(PATIENCE_S)
        assert self.ended is not None, "it goes on"
        assert self.ended - since < ENDED_WITHIN_S
        return self.events[-1].error.code, self.close.code, self.close.reason


def refused_everywhere(clients, since):
    for client in clients:
        wait_for(lambda: refused(client))
    assert time.monotonic() - since < REFUSED_WITHIN_S


def test_a_key_that_is_revoked_is_refused_by_both_within_a_second(replicas, made):
    created, clients = made("acme")
    talks = [Talk(client) for client in clients]
    key(replicas[0], "revoke", created["id"])
    since = time.monotonic()
    refused_everywhere(clients, since)
    for talk in talks:
        code, close, _ = talk.told(since)
        assert (code, close) == ("invalid_api_key", 1008)


# What the control plane writes with every change that gateways load.
ANNOUNCE = "UPDATE settings SET value = gen_random_uuid()::text WHERE name = 'snapshot_version'; NOTIFY antiphon_changes"


def test_a_tenant_that_is_suspended_is_refused_by_both_until_it_is_back(made, database):
    _, clients = made("forgetful")
    _, others = made("diligent")
    talks = [Talk(client) for client in clients]
    database.run(f"UPDATE tenants SET suspended_at = now() WHERE name = 'forgetful'; {ANNOUNCE}")
    since = time.monotonic()
    refused_everywhere(clients, since)
    assert [talk.told(since)[:2] for talk in talks] == [("invalid_api_key", 1008)] * 2
    assert not any(refused(client) for client in others), "nobody else is"
    database.run(f"UPDATE tenants SET suspended_at = NULL WHERE name = 'forgetful'; {ANNOUNCE}")
    for client in clients:
        wait_for(lambda: None if refused(client) else True)


def test_changes_arrive_when_the_server_cuts_whoever_listens(replicas, made, database):
    created, clients = made("acme")
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%' AND pid <> pg_backend_pid()"
    assert database.run(cut) == ["t", "t"], "each of them listens"
    key(replicas[0], "revoke", created["id"])
    for client in clients:
        wait_for(lambda: refused(client))


def test_a_session_is_listed_wherever_it_is_and_ended_with_a_reason(replicas, made, database):
    created, clients = made("acme")
    talks = [Talk(client) for client in clients]
    listed = "SELECT gateway_id FROM live_sessions WHERE provider = 'openai'"
    gateways = wait_for(lambda: rows if len(rows := database.run(listed)) == 2 else None)
    assert sorted(gateways) == sorted(database.run("SELECT id FROM gateway_instances")), "one at each"
    database.run(
        "UPDATE live_sessions SET terminate_requested_at = now(), terminate_reason = 'tests' "
        f"WHERE gateway_id = '{gateways[0]}'; NOTIFY antiphon_changes"
    )
    since = time.monotonic()
    ended = wait_for(lambda: next((talk for talk in talks if talk.ended), None))
    assert ended.told(since) == ("session_terminated", 1008, "ended by an administrator: tests")
    wait_for(lambda: True if database.run(listed) == [gateways[1]] else None)
    other = next(talk for talk in talks if talk is not ended)
    assert other.is_alive(), "the other one goes on"
    key(replicas[0], "revoke", created["id"])
    other.told(time.monotonic())
