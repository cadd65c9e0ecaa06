"""Backup, loss and restore as docs/operations/backup.md says: its commands are run as they stand there.

A server with one of everything serves calls of every kind while it is backed up. Then its database is destroyed, with
records in the journal that it never had, and restored. What is in the tables is compared row by row. With `-s` it is
told how long each step took.
"""

import contextlib
import functools
import glob
import itertools
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import time
import types

import faults
import httpx2
import pytest
from conftest import KEY, PATIENCE_S, binary, wait_for
from faults import HELD, PRICE, SQLITE, TEXT, Faulty, Server, Traffic, check_budget, openai
from guide import commands, run
from test_replicas import ADMINISTRATOR, Admin, Replica

PAGE = "backup.md"
MASTER_KEY = re.search(r"^secrets: .*\n", faults.CONFIG, re.MULTILINE).group()
ANOTHER_KEY = "QW5vdGhlciBtYXN0ZXIga2V5LCAzMiBieXRlcyBsb24="
# Rows are only ever added to these.
APPENDED = {"usage_records", "audit_log"}
# What they sum is the records.
SUMS = ["usage_daily", "usage_daily_all", "usage_hourly", "usage_hourly_all"]


@contextlib.contextmanager
def timed(what):
    begun = time.monotonic()
    yield
    print(f"{what}: {time.monotonic() - begun:.2f} s")


class Small:
    """SQLite in the gateway's folder, with the master key that was generated there."""

    url, config, restored_url = SQLITE, faults.CONFIG.replace(MASTER_KEY, ""), None
    # A process has the file for itself, so it ends with the loss.
    serves_without = False

    def __init__(self, folder):
        self.folder, self.file = folder, folder / "data" / "antiphon.db"

    def tables(self):
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            database.execute("BEGIN")
            names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: rows_of(map(dict, database.execute(f"SELECT * FROM {name}"))) for name in names}

    def back_up(self):
        earlier = self.folder / "backup"
        if earlier.exists():
            earlier.rename(self.folder / "earlier")
        (block,) = commands(PAGE, "Back up SQLite")
        run(block, self.folder)
        assert [file.stat().st_mode & 0o077 for file in earlier.iterdir()] == [0, 0]

    def lose(self, gateway, meanwhile):
        """Records wait in the journal when the machine dies, and only the journal is found again."""
        with contextlib.closing(sqlite3.connect(self.file, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            meanwhile()
            gateway.stop(signal.SIGKILL)
            other.execute("ROLLBACK")
        self.destroy()

    def destroy(self):
        for file in [*self.file.parent.glob("antiphon.db*"), self.file.parent / "master.key"]:
            file.unlink()

    def restore(self):
        """Gives the tables before anybody has started on them."""
        restore, look = commands(PAGE, "Restore SQLite")
        run(restore, self.folder)
        restored = self.tables()
        assert "as they were written" in run(look, self.folder)
        return restored

    def put_in_place(self):
        """It is."""


class Large:
    """PostgreSQL, and a gateway that serves on while it has no database."""

    config, serves_without = faults.CONFIG, True

    def __init__(self, folder, server):
        self.folder, self.server = folder, server
        self.url, self.restored_url = server.address("antiphon"), server.address("antiphon_restored")
        server.run("CREATE DATABASE antiphon", alone=True)
        programs = pathlib.Path(server.psql).parent
        self.environment = {
            "PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "antiphon",
            "PATH": f"{programs}:{os.environ['PATH']}",
        }

    def ask(self, sql, database="antiphon"):
        command = [self.server.psql, self.server.address(database), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run([*command, "-c", sql], check=True, capture_output=True, text=True).stdout.splitlines()

    def tables(self, database="antiphon"):
        names = self.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", database)
        each = [f"SELECT '{name}', row_to_json(t)::text FROM {name} t" for name in names]
        found = {name: [] for name in names}
        # One statement, so that all tables are of one moment.
        for line in self.ask(" UNION ALL ".join(each), database):
            name, row = line.split("|", 1)
            found[name].append(json.loads(row))
        return {name: rows_of(rows) for name, rows in found.items()}

    def back_up(self):
        run(commands(PAGE, "Back up PostgreSQL")[0], self.folder, self.environment)
        assert (self.folder / "antiphon.dump").stat().st_mode & 0o077 == 0

    def lose(self, gateway, meanwhile):
        self.destroy()
        gateway.until(lambda told: told["database"] == "unreachable" and told["status"] == "ready")
        meanwhile()

    def destroy(self):
        self.ask("DROP DATABASE antiphon WITH (FORCE)", "postgres")

    def restore(self):
        """Gives the tables while they are called otherwise."""
        run(commands(PAGE, "Restore PostgreSQL")[0], self.folder, self.environment)
        return self.tables("antiphon_restored")

    def put_in_place(self):
        run(commands(PAGE, "Restore PostgreSQL")[2], self.folder, self.environment)


def rows_of(rows):
    """Rows as text that can be compared, whatever is in them."""
    return {json.dumps(row, sort_keys=True, default=bytes.hex) for row in rows}


class Kept(Faulty):
    """A gateway with both planes on a database that will be lost."""

    ask = Replica.ask

    def __init__(self, folder, store, provider):
        values = {"database": store.url, "providers": "", "openai": provider.url, "key": KEY, "budgeted": faults.BUDGETED}
        self.started.append(self)
        self.serve(folder, store.config.format(**values, budget=HELD * PRICE / 1e9), ADMINISTRATOR)

    def hello(self, key):
        """A call that is served by a credential that lies sealed in the database."""
        body = {"model": "voice", "input": "Hello.", "voice": "alloy"}
        headers = {"authorization": f"Bearer {key}"}
        return httpx2.post(self.url + "/v1/audio/speech", json=body, headers=headers, timeout=PATIENCE_S).status_code


def furnish(gateway, provider):
    """One of everything that people make; gives the administrator and a key whose provider has a sealed credential."""
    admin = Admin(gateway)
    tenant = admin.post("/tenants", {"name": "made"})["id"]
    admin.post("/users", {"email": "bob@example.com", "role": "tenant_admin", "tenant_id": tenant})
    vendor = {"name": "vendor", "kind": "openai", "base_url": f"{provider.url}/v1", "allow_insecure": True}
    vendor = admin.post("/providers", vendor)["id"]
    admin.post(f"/providers/{vendor}/credentials", {"label": "main", "secret": "sk-upstream"})
    admin.post("/models", {"name": "voice", "targets": [{"provider": "vendor", "model": "tts-1"}]})
    admin.post("/prices", {
        "provider_kind": "openai", "model": "ours", "operation": "transcription", "unit": "audio_minute",
        "price_usd": "0.01", "effective_from": "2026-01-01T00:00:00Z", "source": "a contract", "read_on": "2026-11-22",
    })
    admin.post("/alerts/rules", {"name": "unpriced", "condition": {"kind": "unpriced"}})
    admin.post("/alerts/channels", {"name": "ours", "settings": {"kind": "slack", "url": "https://hooks.example.com/x"}})
    admin.post("/tokens", {"name": "a program's"})
    key = admin.post("/keys", {"tenant_id": tenant, "name": "app", "budget": {"usd": "5", "window": "monthly"}})
    wait_for(lambda: gateway.hello(key["secret"]) == 200 or None)
    return types.SimpleNamespace(admin=admin, id=key["id"], secret=key["secret"])


def budgeted(tables):
    """The records of the key with a budget."""
    return [record for record in map(json.loads, tables["usage_records"]) if record["characters"] == len(TEXT)]


def check_sums(tables):
    """What is summed is what is recorded: the copy is of one moment."""
    records = [json.loads(row) for row in tables["usage_records"]]
    wanted = (len(records), sum(record["cost_nano_usd"] or 0 for record in records))
    for table in SUMS:
        sums = [json.loads(row) for row in tables[table]]
        assert (sum(row["requests"] for row in sums), sum(row["cost_nano_usd"] for row in sums)) == wanted, table


def check_between(before, restored, after):
    """Each table is as it was at one moment between two readings."""
    assert before.keys() == restored.keys() == after.keys()
    same = {name for name in before if before[name] == after[name]}
    assert {name for name in same if restored[name] != before[name]} == set()
    assert {name for name in APPENDED if not before[name] <= restored[name] <= after[name]} == set()
    made = {"tenants", "users", "virtual_keys", "providers", "provider_credentials", "models", "prices", "settings", "audit_log"}
    assert made <= same and all(before[name] for name in made), "nobody has changed these meanwhile"


def verified(folder, url=None):
    """`antiphon audit verify` finds all chains whole; gives what it tells of them."""
    command = [binary("antiphon"), "audit", "verify", "--json", *(["--database-url", url] if url else [])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_another_master_key(folder):
    """Nobody starts under another master key, and why is told in one line."""
    variables = {"PATH": os.environ["PATH"], "ANTIPHON_SECRETS__MASTER_KEY": ANOTHER_KEY}
    done = subprocess.run(
        [binary("antiphon"), "serve"], cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert done.returncode != 0
    assert "the master key is not the one this database was made with" in done.stderr.splitlines()[-1]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def store(request, tmp_path):
    if request.param == "SQLite":
        yield Small(tmp_path)
        return
    server = Server()
    try:
        yield Large(tmp_path, server)
    finally:
        server.stop()


def test_a_server_that_is_backed_up_under_load_and_lost_is_the_same_again(store, openai, tmp_path):
    gateway = Kept(tmp_path, store, openai)
    made = furnish(gateway, openai)
    serials = itertools.count(1)
    with Traffic(gateway, serials) as traffic:
        gateway.spend(10)
        wait_for(lambda: len(budgeted(store.tables())) == 10 or None)
        before = store.tables()
        with timed(f"backup of {len(before['usage_records'])} records"):
            store.back_up()
        after = store.tables()
        traffic.goes_on()
    # What comes now is in no backup.
    gateway.spend(5)
    made.admin.post(f"/keys/{made.id}/revoke", {"reason": "lost with its laptop"})
    wait_for(lambda: gateway.hello(made.secret) == 401 or None)
    gateway.delivered()
    if not store.serves_without:
        # A journal that was closed in order holds nothing that is stored; after a kill the newest of it would come again.
        assert gateway.stop(signal.SIGTERM) == 0
        gateway = Kept(tmp_path, store, openai)

    with Traffic(gateway, serials) if store.serves_without else contextlib.nullcontext() as traffic:
        # Three calls wait in the journal and nowhere else.
        store.lose(gateway, meanwhile=functools.partial(gateway.spend, 3))
        with timed("restore"):
            restored = store.restore()
        check_between(before, restored, after)
        check_sums(restored)
        assert len(budgeted(restored)) == 10
        verified(tmp_path, store.restored_url)
        if store.serves_without:
            traffic.goes_on()
        store.put_in_place()
        with timed("from the database to readiness"):
            if not store.serves_without:
                gateway = Kept(tmp_path, store, openai)
            gateway.until(lambda told: told["database"] == "ok")
    gateway.delivered()
    again = store.tables()
    check_sums(again)
    assert restored["usage_records"] <= again["usage_records"] and len(budgeted(again)) == 13
    assert restored["audit_log"] <= again["audit_log"]
    assert "revoke" not in {json.loads(entry)["action"] for entry in again["audit_log"]}
    if store.serves_without:
        assert gateway.spent()[0] == 18 * PRICE, "who ran on remembers what was lost"
    assert gateway.stop(signal.SIGTERM) == 0

    # A start counts from what was restored and what followed.
    gateway = Kept(tmp_path, store, openai)
    assert gateway.spent() == (13 * PRICE, 0)
    wait_for(lambda: gateway.hello(made.secret) == 200 or None)
    served = 13 + gateway.spend_the_rest()
    gateway.delivered()
    check_budget([*map(json.loads, store.tables()["usage_records"])], served)
    assert Admin(gateway).get("/providers"), "whoever signed in before does so again"
    assert gateway.stop(signal.SIGTERM) == 0
    assert "panicked" not in gateway.log.read_text()

    # At rest all of it is equal, row for row.
    at_rest, audited = store.tables(), verified(tmp_path)
    store.back_up()
    store.destroy()
    assert store.restore() == at_rest
    assert verified(tmp_path, store.restored_url) == audited
    store.put_in_place()
    check_another_master_key(tmp_path)
