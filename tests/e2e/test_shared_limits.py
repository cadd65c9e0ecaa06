"""Three gateways on one PostgreSQL server and one Redis: a key's limits hold for all of them together."""

import asyncio
import contextlib
import os
import pathlib
import signal
import subprocess
import uuid

import httpx2
import pytest
import websockets
from conftest import PATIENCE_S, ROOT, Program, Upstream, binary, wait_for
from test_crash import BETWEEN_TWO_CALLS
from test_replicas import ADMINISTRATOR, CONFIG, Admin, Database, Replica

SERVER = ROOT / "scripts" / "redis-for-tests.sh"
# A lease is short, so that what a killed gateway held comes back while a test waits. A machine that compiles
# beside the tests answers late, which is no outage.
REDIS = """
redis: {{ url: "{url}", call_timeout: 2s, lease_ttl: 12s, when_away: {when_away} }}
"""
LEASE_S = 12.0
NAMES = ("first", "second", "third")
MODEL = "openai/tts-1-hd"
TEXT = "a" * 200
# 30 dollars for a million characters, in billionths.
PRICE = 200 * 30_000
BUDGET = 1_000_000_000
HELD = BUDGET // PRICE
RACERS = 500


class Redis:
    """A Redis server that keeps nothing on disk, so that a stop loses everything."""

    def __init__(self):
        told = subprocess.run([SERVER, "start"], check=True, capture_output=True, text=True).stdout
        told = dict(line.removeprefix("export ").split("=", 1) for line in told.splitlines())
        self.url, self.root = told["ANTIPHON_TEST_REDIS_URL"], pathlib.Path(told["ANTIPHON_TEST_REDIS_DIR"])
        self.port = self.url.rsplit(":", 1)[1]
        self.dir = self.root / self.port

    def run(self, *command):
        command = ["redis-cli", "-p", self.port, *command]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    @contextlib.contextmanager
    def gone(self):
        """It ends, and loses everything."""
        self.shut_down()
        try:
            yield
        finally:
            self.start_again()

    @contextlib.contextmanager
    def hanging(self):
        """It answers nothing, and goes on as if nothing had been."""
        process = int((self.dir / "pid").read_text())
        os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(process, signal.SIGCONT)

    def shut_down(self):
        self.run("shutdown", "nosave")
        wait_for(lambda: not self.run("ping"))

    def start_again(self):
        command = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.dir, "--save", ""]
        command += ["--appendonly", "no", "--daemonize", "yes", "--pidfile", self.dir / "pid"]
        subprocess.run(command, check=True, capture_output=True)
        wait_for(lambda: self.run("ping") == "PONG")

    def stop(self):
        subprocess.run([SERVER, "stop", self.root], check=True)


class Sharing(Replica):
    """One of the gateways."""

    def __init__(self, folder, name, database, upstream, redis, when_away="local_share"):
        config = CONFIG.format(name=name, database=database.url, openai=upstream.url)
        config += REDIS.format(url=redis.url, when_away=when_away)
        (folder / f"{name}.yaml").write_text(config)
        command = [binary("antiphon"), "serve", "--config", f"{name}.yaml"]
        Program.__init__(self, command, folder, name, ADMINISTRATOR)

    def readiness(self):
        return httpx2.get(self.url + "/readyz", timeout=PATIENCE_S).json()

    def usage(self, secret):
        return httpx2.get(self.url + "/v1/usage", headers={"authorization": f"Bearer {secret}"}, timeout=PATIENCE_S).json()


class Setting:
    """Everything that runs."""

    def __init__(self, folder):
        self.folder, self.database, self.redis = folder, Database(), Redis()
        self.upstream = Upstream("openai", folder)
        self.gateways, self.admin = {}, None
        for name in NAMES:
            self.start(name)
        self.admin = Admin(self.gateways["first"])
        self.all_know_of_each_other()

    def start(self, name):
        self.gateways[name] = Sharing(self.folder, name, self.database, self.upstream, self.redis)
        if self.admin:
            self.admin.replica = self.gateways["first"]

    def all_know_of_each_other(self):
        """Each of them counts with Redis, and knows how many share."""

        def known():
            told = [gateway.readiness()["redis"] for gateway in self.gateways.values()]
            return all(redis["status"] == "ok" and redis["gateways"] == len(NAMES) for redis in told) or None

        wait_for(known)

    def all_are(self, status):
        told = lambda: {gateway.readiness()["redis"]["status"] for gateway in self.gateways.values()}
        wait_for(lambda: told() == {status})

    def key(self, **limits):
        tenant = self.admin.post("/tenants", {"name": f"tenant-{uuid.uuid4()}"})
        made = self.admin.post("/keys", {"tenant_id": tenant["id"], "name": "made", **limits})
        headers = {"authorization": f"Bearer {made['secret']}"}
        for gateway in self.gateways.values():
            models = gateway.url + "/v1/models"
            wait_for(lambda: httpx2.get(models, headers=headers, timeout=PATIENCE_S).is_success)
        return made

    def records(self, made):
        """Number and cost of a key's records, as the database has them once nothing is on its way."""
        for gateway in self.gateways.values():
            wait_for(lambda: gateway.readiness()["journal"]["pending_records"] == 0 or None)
        sql = f"SELECT count(*), coalesce(sum(cost_nano_usd), 0) FROM usage_records WHERE key_id = '{made['id']}'"
        return tuple(int(number) for number in self.database.run(sql)[0].split("|"))

    def holds_nothing(self, made):
        """Waits until no call of a key holds any of its budget, also such as nobody knows of any more."""
        held = lambda: float(self.gateways["first"].usage(made["secret"])["reserved_usd"])
        wait_for(lambda: not held())

    def leases(self, made):
        """The time by the clock of Redis, and when the leases of a key end, in seconds."""
        name = f"antiphon:{{key:{made['id']}}}:leases"
        # What has no end is no lease. The time is asked behind them: one may be renewed meanwhile.
        leases = self.redis.run("zrangebyscore", name, "-inf", "(inf", "withscores").split()
        seconds, micros = self.redis.run("time").split()
        return int(seconds) + int(micros) / 1e6, [int(end) / 1e3 for end in leases[1::2]]

    def open_at_the_provider(self):
        """Sessions that the provider has open, once it has noticed who is gone."""
        ask = lambda: sum(count["open_sessions"] for count in self.upstream._control("GET", "/_counts")["by"])
        seen = [ask()]

        def steady():
            seen.append(ask())
            return True if len(seen) > 5 and len(set(seen[-5:])) == 1 else None

        wait_for(steady)
        return seen[-1]

    def accepted(self):
        """Requests that the provider had whole, by its own count."""
        by = self.upstream._control("GET", "/_counts")["by"]
        return sum(count["accepted"]["answers"] for count in by if count["path"] == "audio/speech")

    def race(self, made, racers=RACERS, **options):
        return asyncio.run(race(list(self.gateways.values()), made["secret"], racers, **options))

    def stop(self):
        statuses = [gateway.stop(signal.SIGTERM) for gateway in self.gateways.values()]
        self.upstream.stop(signal.SIGINT)
        self.redis.stop()
        self.database.stop()
        assert statuses == [0] * len(NAMES)
        for gateway in self.gateways.values():
            assert "panicked" not in gateway.log.read_text()


async def race(gateways, secret, racers, at_once=RACERS, midway=None, after=None):
    """Statuses of calls by so many at once, in turn at each gateway. `midway` happens `after` so many of them, else
    after half."""
    headers = {"authorization": f"Bearer {secret}"}
    limits = httpx2.Limits(max_connections=at_once)
    room, statuses = asyncio.Semaphore(at_once), []
    async with httpx2.AsyncClient(headers=headers, timeout=120, limits=limits) as client:

        async def call(number):
            url = gateways[number % len(gateways)].url + "/v1/audio/speech"
            body = {"model": MODEL, "input": TEXT, "voice": "alloy", "response_format": "pcm"}
            async with room:
                try:
                    answer = await client.post(url, json=body)
                    statuses.append(answer.status_code)
                except httpx2.HTTPError:
                    statuses.append(None)
            if midway and len(statuses) == (after or racers // 2):
                midway()

        await asyncio.gather(*(call(number) for number in range(racers)))
    return statuses


async def open_sessions(gateways, secret, racers, opened):
    """Opens sessions at once, and keeps those that are admitted in `opened`. Gives the statuses of the others; of one
    that was killed there is none."""
    refused = []

    async def enter(number):
        url = gateways[number % len(gateways)].url.replace("http", "ws") + "/v1/realtime?model=openai/gpt-realtime-2.1"
        headers = {"authorization": f"Bearer {secret}"}
        try:
            socket = await websockets.connect(url, additional_headers=headers, open_timeout=120, ping_interval=None)
            opened.append((gateways[number % len(gateways)], socket))
        except websockets.InvalidStatus as refusal:
            refused.append(refusal.response.status_code)
        except (OSError, websockets.InvalidHandshake, EOFError):
            refused.append(None)

    await asyncio.gather(*(enter(number) for number in range(racers)))
    return refused


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    setting = Setting(tmp_path_factory.mktemp("sharing"))
    # Short answers: their length is not what is tested here.
    setting.upstream.script("audio/speech", times=1_000_000, bytes=2_000)
    yield setting
    setting.stop()


@pytest.fixture(autouse=True)
def whole(setting):
    """Every test begins and ends with three gateways that share."""
    yield
    setting.all_know_of_each_other()


def dollar():
    return {"budget": {"usd": "1.00", "window": "total"}}


def test_the_last_dollar_is_spent_once(setting):
    made = setting.key(**dollar())
    statuses = setting.race(made)
    assert statuses.count(200) == HELD and set(statuses) == {200, 429}, "as many as the budget holds, and no more"
    assert setting.records(made) == (HELD, HELD * PRICE)
    for gateway in setting.gateways.values():
        told = wait_for(lambda: told if not float((told := gateway.usage(made["secret"]))["reserved_usd"]) else None)
        assert float(told["spent_usd"]) == HELD * PRICE / 1e9, "every gateway tells what all have spent"
        assert round(float(told["budget"]["remaining_usd"]) * 1e9) == BUDGET - HELD * PRICE


def test_a_rate_is_one_for_all(setting):
    made = setting.key(requests_per_minute=3)
    headers = {"authorization": f"Bearer {made['secret']}"}
    body = {"model": MODEL, "input": "a", "voice": "alloy", "response_format": "pcm"}
    answers = [
        httpx2.post(gateway.url + "/v1/audio/speech", json=body, headers=headers, timeout=PATIENCE_S)
        for gateway in [*setting.gateways.values(), setting.gateways["first"]]
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers] == ["2", "1", "0", "0"]


async def race_for_both(setting, money, slots, victim):
    """Races for a key's last dollar and for another's ten slots at once; `victim` is killed in the middle of both.
    Gives the statuses of the calls, the sessions that were opened, and the refusals of the others."""
    gateways, opened = list(setting.gateways.values()), []
    begun = asyncio.Event()

    async def kill():
        await begun.wait()
        while not opened:
            await asyncio.sleep(0.01)
        # In a thread: it waits for the process.
        await asyncio.to_thread(victim.stop, signal.SIGKILL)

    calls, refused, _ = await asyncio.gather(
        race(gateways, money["secret"], RACERS, at_once=150, midway=begun.set, after=HELD // 3),
        open_sessions(gateways, slots["secret"], RACERS, opened),
        kill(),
    )
    return calls, opened, refused


def test_five_hundred_racers_get_a_dollar_and_ten_slots_though_a_gateway_is_killed(setting):
    money, slots, before = setting.key(**dollar()), setting.key(max_concurrent_sessions=10), setting.accepted()
    victim = setting.gateways["third"]

    async def told():
        calls, opened, refused = await race_for_both(setting, money, slots, victim)
        assert set(calls) <= {200, 429, None} and len(calls) == RACERS
        assert set(refused) <= {429, None} and None in calls, "some had no answer of the one that was killed"
        assert len(opened) + len(refused) == RACERS
        held = [socket for gateway, socket in opened if gateway is not victim]
        assert setting.open_at_the_provider() == len(held) <= 10, "nobody speaks in the name of the dead"

        # The leases of the dead end by the clock of Redis, a lease after they were renewed last at most.
        now, ends = setting.leases(slots)
        assert len(held) <= len(ends) <= 10 and max(ends) <= now + LEASE_S
        alive = [gateway for gateway in setting.gateways.values() if gateway is not victim]
        await asyncio.to_thread(wait_for, lambda: True if setting.leases(slots)[0] > max(ends) else None)
        again = []
        assert await open_sessions(alive, slots["secret"], 10 - len(held), again) == [], "the slots are free again"
        assert set(await open_sessions(alive, slots["secret"], 4, again)) == {429}, "and no more than these"
        for _, socket in opened + again:
            with contextlib.suppress(websockets.WebSocketException, OSError):
                await socket.close()
        return calls

    calls = asyncio.run(told())
    assert BUDGET >= PRICE * (setting.accepted() - before) >= PRICE * calls.count(200), "never more than the dollar"
    setting.start("third")
    setting.all_know_of_each_other()
    # What the dead one held is free as well, and what was in flight there is billed: all together have a dollar.
    setting.holds_nothing(money)
    rest = setting.race(money)
    assert set(rest) <= {200, 429}
    number, cost = setting.records(money)
    accepted = setting.accepted() - before
    assert (number, cost) == (HELD, HELD * PRICE), "to the last call"
    assert number - BETWEEN_TWO_CALLS <= accepted <= number and calls.count(200) + rest.count(200) <= accepted
    for gateway in setting.gateways.values():
        assert round(float(gateway.usage(money["secret"])["spent_usd"]) * 1e9) == cost


@pytest.mark.parametrize("fault", [Redis.gone, Redis.hanging])
def test_without_redis_each_gives_its_part_and_with_it_all_is_counted_again(setting, fault):
    made = setting.key(**dollar())
    before = setting.race(made, 30).count(200)
    assert before == 30
    with fault(setting.redis):
        alone = setting.race(made)
        setting.all_are("unreachable")
        assert {gateway.readiness()["status"] for gateway in setting.gateways.values()} == {"ready"}
    assert set(alone) == {200, 429}
    # Each takes its part of what the database says is left, whole calls of it, and one that looks late finds less.
    served, left, least = alone.count(200), HELD - before, 0
    for _ in NAMES:
        least += (left - least) // len(NAMES)
    assert least <= served <= left
    setting.all_know_of_each_other()
    setting.holds_nothing(made)
    assert before + served + setting.race(made).count(200) == HELD, "to the last call"
    assert setting.records(made) == (HELD, HELD * PRICE)


def test_an_emptied_redis_learns_what_was_spent(setting):
    spent, made, at_once = setting.key(**dollar()), setting.key(**dollar()), 20
    assert setting.race(spent).count(200) == HELD
    began = []

    def empty():
        # What is settled and not delivered yet is what the database does not have a moment before.
        began.append(setting.database.run(f"SELECT count(*) FROM usage_records WHERE key_id = '{made['id']}'"))
        setting.redis.run("flushall")

    statuses = setting.race(made, 240, at_once=at_once, midway=empty)
    statuses += setting.race(made, 60)
    undelivered = 120 - int(began[0][0])
    served = statuses.count(200)
    assert HELD <= served <= HELD + at_once + undelivered, "what was in flight, and on its way, may be admitted again"
    assert setting.records(made)[0] == served
    assert set(setting.race(spent, 30)) == {429}, "what was spent before is known"
