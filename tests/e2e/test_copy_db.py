"""A database moved from SQLite to PostgreSQL: a server started on either answers alike."""

import json
import signal
import subprocess
import types

import pytest
from conftest import Upstream, binary, wait_for
from test_replicas import Admin, Database, Replica

LISTS = [
    "/tenants", "/keys", "/keys?sort=name", "/keys?sort=-name", "/providers", "/models", "/prices?limit=500",
    "/audit?limit=500",
]


@pytest.fixture(scope="module")
def postgres():
    database = Database()
    yield database
    database.stop()


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    upstream = Upstream("openai", tmp_path_factory.mktemp("copied-upstream"))
    yield upstream
    upstream.stop(signal.SIGINT)


def shown(replica):
    """What the admin plane lists, but for what starting and signing in add to it."""
    admin = Admin(replica)
    lists = {path: admin.get(path)["data"] for path in LISTS}
    lists["/audit?limit=500"] = [entry for entry in lists["/audit?limit=500"] if entry["object_kind"] == "key"]
    return lists | {"records": admin.get("/usage/records")["data"]}


def copy(folder, database):
    command = [binary("antiphon"), "copy-db", "--json", "--from", "sqlite://small.db", "--to", database.url]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_a_copied_database_answers_alike(tmp_path, postgres, upstream):
    small = Replica(tmp_path, "small", types.SimpleNamespace(url="sqlite://small.db"), upstream)
    admin = Admin(small)
    tenant = admin.post("/tenants", {"name": "acme"})
    made = admin.post("/keys", {"tenant_id": tenant["id"], "name": "made", "budget": {"usd": "5", "window": "total"}})
    for name in ("Zebra", "apple", "Öl", "a-b", "österreich", "AB"):
        admin.post("/keys", {"tenant_id": tenant["id"], "name": name})
    with small.client(made["secret"]) as client:
        speech = wait_for(lambda: say(client))
    assert len(speech) > 0
    wait_for(lambda: admin.get("/usage/records")["data"] or None)
    before = shown(small)
    assert small.stop(signal.SIGTERM) == 0

    copied = copy(tmp_path, postgres)
    assert copied.returncode == 0, copied.stderr
    report = json.loads(copied.stdout)
    assert report["equal"] and {"tenants", "usage_records", "audit_log"} <= {each["table"] for each in report["tables"]}
    again = copy(tmp_path, postgres)
    assert again.returncode != 0 and "the target is not empty" in again.stderr

    large = Replica(tmp_path, "large", postgres, upstream)
    assert shown(large) == before
    with large.client(made["secret"]) as client:
        assert say(client) == speech
    assert large.stop(signal.SIGTERM) == 0


def say(client):
    """Speech, once the key is known."""
    try:
        return client.audio.speech.create(model="openai/tts-1", voice="alloy", input="Hello.").content
    except Exception as error:  # noqa: BLE001 - whichever it is, the next try tells
        if getattr(error, "status_code", None) == 401:
            return None
        raise
