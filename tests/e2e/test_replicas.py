"""Two gateways on one PostgreSQL server: what is changed anywhere holds at both, at once."""

import contextlib
import glob
import signal
import subprocess
import threading
import time
import uuid

import httpx2
import openai
import pytest
from conftest import PATIENCE_S, ROOT, Gateway, Program, Upstream, binary, wait_for
from realtime import until
from websockets.exceptions import ConnectionClosed

# What is promised of a change: new requests, and sessions that are open.
REFUSED_WITHIN_S = 1.0
ENDED_WITHIN_S = 2.0
MODEL = "openai/gpt-realtime-2.1"
ADMINISTRATOR = {"ANTIPHON_ADMIN_EMAIL": "ada@example.com", "ANTIPHON_ADMIN_PASSWORD": "correct horse battery staple"}
SERVER = ROOT / "scripts" / "postgres-for-tests.sh"

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0" }}
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


class Replica(Gateway):
    """One of several processes, each of which has both planes."""

    def __init__(self, folder, name, database, upstream):
        config = CONFIG.format(name=name, database=database.url, openai=upstream.url)
        (folder / f"{name}.yaml").write_text(config)
        command = [binary("antiphon"), "serve", "--config", f"{name}.yaml"]
        Program.__init__(self, command, folder, name, ADMINISTRATOR)

    def ask(self, method, path, body=None, token=None):
        """What the admin plane answers."""
        headers = {"authorization": f"Bearer {token}"} if token else {}
        url = f"{self.admin_url}/api/v1{path}"
        answer = httpx2.request(method, url, json=body, headers=headers, timeout=PATIENCE_S)
        assert answer.is_success, answer.text
        return answer.json()


class Admin:
    """A platform administrator, at one of the replicas."""

    def __init__(self, replica):
        email, password = ADMINISTRATOR.values()
        told = replica.ask("POST", "/auth/login", {"email": email, "password": password})
        self.replica, self.token = replica, told["access_token"]

    def get(self, path):
        return self.replica.ask("GET", path, token=self.token)

    def post(self, path, body):
        return self.replica.ask("POST", path, body, self.token)


@pytest.fixture(scope="module")
def database():
    database = Database()
    yield database
    database.stop()


@pytest.fixture(scope="module")
def admin(replicas):
    return Admin(replicas[0])


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


def revoke(replica, id):
    """Runs `antiphon key revoke` in a process of its own."""
    command = [binary("antiphon"), "key", "revoke", id, "--config", "first.yaml"]
    subprocess.run(command, cwd=replica.log.parent, check=True, capture_output=True)


def refused(client):
    try:
        client.models.list()
    except openai.AuthenticationError:
        return True
    return None


@pytest.fixture
def made(replicas, admin):
    """A new key of a new tenant, and a client of each replica that knows it."""
    with contextlib.ExitStack() as open_clients:

        def make():
            tenant = admin.post("/tenants", {"name": f"tenant-{uuid.uuid4()}"})
            created = admin.post("/keys", {"tenant_id": tenant["id"], "name": "made"})
            clients = [open_clients.enter_context(replica.client(created["secret"])) for replica in replicas]
            for client in clients:
                wait_for(lambda: not refused(client))
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


@pytest.mark.parametrize("by", ["the API", "the command line"])
def test_a_key_that_is_revoked_is_refused_by_both_within_a_second(by, replicas, admin, made):
    created, clients = made()
    talks = [Talk(client) for client in clients]
    if by == "the API":
        admin.post(f"/keys/{created['id']}/revoke", {"reason": "lost"})
    else:
        revoke(replicas[0], created["id"])
    since = time.monotonic()
    refused_everywhere(clients, since)
    assert [talk.told(since)[:2] for talk in talks] == [("invalid_api_key", 1008)] * 2


def test_a_tenant_that_is_suspended_is_refused_by_both_until_it_is_back(admin, made):
    created, clients = made()
    _, others = made()
    talks = [Talk(client) for client in clients]
    tenant = f"/tenants/{created['tenant_id']}"
    admin.post(f"{tenant}/suspend", {"reason": "unpaid"})
    since = time.monotonic()
    refused_everywhere(clients, since)
    assert [talk.told(since)[:2] for talk in talks] == [("invalid_api_key", 1008)] * 2
    assert not any(refused(client) for client in others), "nobody else is"
    admin.post(f"{tenant}/resume", {})
    for client in clients:
        wait_for(lambda: not refused(client))


def test_changes_arrive_when_the_server_cuts_whoever_listens(admin, made, database):
    created, clients = made()
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%' AND pid <> pg_backend_pid()"
    assert database.run(cut) == ["t", "t"], "each of them listens"
    admin.post(f"/keys/{created['id']}/revoke", {"reason": "lost"})
    for client in clients:
        wait_for(lambda: refused(client))


def test_a_session_is_listed_wherever_it_is_and_ended_with_a_reason(admin, made):
    created, clients = made()
    talks = [Talk(client) for client in clients]
    listed = f"/sessions?provider=openai&key_id={created['id']}"
    sessions = wait_for(lambda: rows if len(rows := admin.get(listed)["data"]) == 2 else None)
    gateways = {gateway["id"] for gateway in admin.get("/health")["gateways"]}
    assert {session["gateway_id"] for session in sessions} == gateways, "one at each"
    for session in sessions:
        admin.post(f"/sessions/{session['id']}/terminate", {"reason": "tests"})
    since = time.monotonic()
    for talk in talks:
        assert talk.told(since) == ("session_terminated", 1008, "ended by an administrator: tests")
    wait_for(lambda: admin.get(listed)["data"] == [])
    assert not any(refused(client) for client in clients), "the key is as good as before"
