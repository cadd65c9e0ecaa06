"""What fails in tests of faults, the calls that go on meanwhile, and the comparison of their records with what the
provider had."""

import asyncio
import collections
import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import uuid

import httpx2
import pytest
from conftest import KEY, PATIENCE_S, Gateway, Program, Upstream, binary, wait_for
from test_crash import KINDS, cost_of
from test_replicas import SERVER, Database

# A call by this key costs 6 million nano-dollars, and its budget holds 50 of them.
BUDGETED = "sk-e2e-a-budget-that-holds-fifty-calls-0012"
TEXT = "a" * 400
PRICE = 400 * 15_000
HELD = 50

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0" }}
  metrics: {{ bind: "127.0.0.1:0" }}
  data_dir: data
database: {{ url: "{database}" }}
secrets: {{ master_key: "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" }}
providers:
  - {{ name: openai, kind: openai, api_key: sk-upstream, base_url: "{openai}/v1", allow_insecure: true }}
{providers}tenants:
  - name: acme
    keys:
      - {{ name: all, key: {key} }}
      - {{ name: fifty, key: {budgeted}, budget: {{ usd: "{budget}", window: total }} }}
"""
SQLITE = "sqlite://data/antiphon.db"
COLUMNS = "user_tag, sequence, operation, status, cost_nano_usd, characters, started_at, latency_ms"


@pytest.fixture
def openai(tmp_path):
    """The provider. Whatever a test that failed leaves running ends before it."""
    openai = Upstream("openai", tmp_path)
    yield openai
    for left in Faulty.started:
        left.process.kill()
        left.process.wait()
    Faulty.started.clear()
    openai.stop(signal.SIGINT)


class Faulty(Gateway):
    """A gateway with a provider, a key without limits and one with a budget. `command` stands before its own."""

    started = []

    def __init__(self, folder, openai, database=SQLITE, more="", command=(), variables=None, providers=""):
        values = {"database": database, "providers": providers, "openai": openai.url, "key": KEY, "budgeted": BUDGETED}
        (folder / "antiphon.yaml").write_text(CONFIG.format(**values, budget=HELD * PRICE / 1e9) + more)
        whole = [*command, binary("antiphon"), "serve", "--config", "antiphon.yaml"]
        Program.__init__(self, whole, folder, "antiphon", variables)
        self.started.append(self)
        wait_for(self.ready)

    def readiness(self):
        return httpx2.get(self.url + "/readyz", timeout=PATIENCE_S).json()

    def until(self, told, patience=1):
        """Waits until the readiness is as `told` wants it, with so many times the usual patience."""
        ask = lambda: readiness if told(readiness := self.readiness()) else None
        for _ in range(patience - 1):
            with contextlib.suppress(TimeoutError):
                return wait_for(ask)
        return wait_for(ask)

    def key_comes_into_force(self, folder):
        """Makes a key by the command line, and waits until it is good."""
        command = [binary("antiphon"), "key", "create", "--tenant", "acme", "--name", "new", "--json"]
        told = subprocess.run([*command, "--config", "antiphon.yaml"], cwd=folder, check=True, capture_output=True)
        key = json.loads(told.stdout)["key"]
        headers = {"authorization": f"Bearer {key}"}
        wait_for(lambda: httpx2.get(self.url + "/v1/models", headers=headers, timeout=PATIENCE_S).is_success or None)

    def delivered(self):
        """Waits until the database has every record."""
        self.until(lambda told: told["database"] == "ok" and told["journal"]["pending_records"] == 0)

    def spent(self, key=BUDGETED):
        """What the key has spent and holds, in nano-dollars."""
        told = httpx2.get(self.url + "/v1/usage", headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE_S).json()
        return tuple(round(float(told[what]) * 1e9) for what in ("spent_usd", "reserved_usd"))

    def speak(self, key=BUDGETED):
        """One call; with that key it costs `PRICE`."""
        body = {"model": "openai/tts-1", "input": TEXT, "voice": "alloy", "response_format": "mp3"}
        headers = {"authorization": f"Bearer {key}"}
        return httpx2.post(self.url + "/v1/audio/speech", json=body, headers=headers, timeout=PATIENCE_S)

    def spend(self, calls):
        assert [self.speak().status_code for _ in range(calls)] == [200] * calls

    def spend_the_rest(self):
        """Spends what is left of the budget; gives how many calls that were."""
        served = 0
        while (answer := self.speak()).status_code == 200:
            served += 1
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "budget_exceeded")
        return served


class Traffic:
    """Calls of every kind, one after the other, while it is entered."""

    def __init__(self, gateway, serials=None):
        serials = serials or itertools.count(1)
        self.clients = [kind(gateway.url, serials) for kind in KINDS.values()]

    def __enter__(self):
        for client in self.clients:
            client.start()
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.ended.set()
        for client in self.clients:
            client.join(PATIENCE_S)
        assert not any(client.in_flight for client in self.clients), "every call was answered"

    def goes_on(self, calls=3):
        """Waits until so many more calls of each kind were answered."""
        wanted = [len(client.answered) + calls for client in self.clients]
        wait_for(lambda: all(len(c.answered) >= n for c, n in zip(self.clients, wanted)) or None)


def serial_of(row):
    return f"{row['user_tag']}-{row['sequence']}" if row["operation"] == "realtime" else row["user_tag"]


def check_exact(openai, rows):
    """What the provider had whole has one record with its cost, and nothing else has one."""
    fates = openai._control("GET", "/_counts")["serials"]
    accepted = {serial: fate for serial, fate in fates.items() if fate["accepted"]["answers"]}
    by_serial = collections.defaultdict(list)
    for row in rows:
        if row["user_tag"] is not None:
            by_serial[serial_of(row)].append(row)
    assert accepted and set(by_serial) == set(accepted), "no record is lost, and none was made up"
    for serial, (row, *more) in by_serial.items():
        fate = accepted[serial]
        assert not more and fate["accepted"]["answers"] == 1, f"{serial} was recorded once"
        assert (row["status"], row["cost_nano_usd"]) == ("ok", cost_of(fate["path"], fate["accepted"])), serial


def check_budget(rows, served):
    """The key with a budget was served as often as its budget holds, and has records of exactly these calls."""
    costs = [row["cost_nano_usd"] for row in rows if row["characters"] == len(TEXT)]
    assert (served, costs) == (HELD, [PRICE] * HELD)


class Server(Database):
    """A PostgreSQL server that can be stopped, killed, paused and followed."""

    def __init__(self):
        super().__init__()
        self.dir = pathlib.Path(self.told["ANTIPHON_TEST_POSTGRES_DIR"])
        self.port = int(re.search(r":(\d+)/", self.url).group(1))

    def new_database(self):
        """An empty database; gives its name."""
        name = f"test_{uuid.uuid4().hex}"
        self.run(f"CREATE DATABASE {name}", alone=True)
        # What it confirms it keeps, also when it is killed.
        self.run(f"ALTER DATABASE {name} SET synchronous_commit = 'on'")
        return name

    def address(self, name, port=None):
        return f"postgres://antiphon@127.0.0.1:{port or self.port}/{name}"

    def run(self, sql, database="postgres", alone=False, port=None):
        """As before, in any database; `alone` outside of a transaction."""
        command = [self.psql, self.address(database, port), "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql]
        command += [] if alone else ["-1"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()

    def rows(self, database, port=None):
        """The usage records, and a check that the sums of the days are theirs."""
        told = self.run(f"SELECT json_agg(r) FROM (SELECT {COLUMNS} FROM usage_records) r", database, port=port)
        sums = "SELECT coalesce(sum(requests), 0), coalesce(sum(cost_nano_usd), 0) FROM "
        of_days, of_records = (
            self.run(sums.replace("sum(requests)", count) + table, database, port=port)
            for count, table in [("sum(requests)", "usage_daily"), ("count(*)", "usage_records")]
        )
        assert of_days == of_records, "the sums of the days are those of the records"
        return json.loads(" ".join(told))

    def script(self, *arguments):
        subprocess.run([SERVER, *arguments, self.dir], check=True, capture_output=True)

    def start_again(self):
        self.script("again")

    def follow(self):
        """A replica that has every record before this server answers for it; gives its port."""
        told = subprocess.run([SERVER, "replica", self.dir], check=True, capture_output=True, text=True).stdout
        self.run("ALTER SYSTEM SET synchronous_standby_names = '*'", alone=True)
        self.run("SELECT pg_reload_conf()")
        following = "SELECT sync_state FROM pg_stat_replication"
        wait_for(lambda: self.run(following) == ["sync"] or None)
        return int(told.strip().split("=")[1])

    @contextlib.contextmanager
    def locked(self, database, table):
        """Nobody else writes to this table."""
        command = [self.psql, self.address(database), "-X", "-q"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
            session.stdin.write(f"BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE; SELECT 'held';\n")
            session.stdin.flush()
            assert any("held" in line for line in session.stdout)
            yield
            session.stdin.close()

    def signal(self, number):
        """To the server and all that it has started; they end with it when it is killed."""
        postmaster = int((self.dir / "data" / "postmaster.pid").read_text().split()[0])
        children = pathlib.Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for process in [postmaster, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def kill(self):
        postmaster = int((self.dir / "data" / "postmaster.pid").read_text().split()[0])
        self.signal(signal.SIGKILL)
        wait_for(lambda: not pathlib.Path(f"/proc/{postmaster}/exe").exists())

    @contextlib.contextmanager
    def paused(self):
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


class Proxy:
    """Carries bytes to a port that may change, late or not at all."""

    def __init__(self, port):
        self.target, self.delay_s, self.pairs = port, 0.0, set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.server = self._do(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]

    def _do(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    async def _serve(self, reader, writer):
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        # Set while bytes pass.
        passes = asyncio.Event()
        passes.set()
        pair = (passes, writer, there[1])
        self.pairs.add(pair)
        await asyncio.gather(self._carry(reader, there[1], passes), self._carry(there[0], writer, passes))
        self.pairs.discard(pair)

    async def _carry(self, reader, writer, passes):
        try:
            while piece := await reader.read(65536):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await passes.wait()
                writer.write(piece)
                await writer.drain()
            await passes.wait()
            writer.close()
        except OSError:
            writer.transport.abort()

    def lead_to(self, port):
        """Where new connections go."""
        self.target = port

    def silence(self):
        """Nothing more passes on the connections that stand, and none of their ends is told; new ones are good."""

        async def hold():
            for passes, *_ in self.pairs:
                passes.clear()

        self._do(hold())

    def cut(self):
        """Breaks the connections that stand."""

        async def abort():
            for _, *writers in self.pairs:
                for writer in writers:
                    writer.transport.abort()

        self._do(abort())

    def stop(self):
        async def end():
            self.server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            for _, *writers in self.pairs:
                for writer in writers:
                    writer.transport.abort()

        self._do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(PATIENCE_S)
        self.loop.close()
