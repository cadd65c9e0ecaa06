"""The gateway's wall clock is wrong, jumps, or passes the end of a month: durations, budgets and records do not care.

The clock is that of libfaketime, which reads its offset from a file; the monotonic clock is the machine's.
"""

import datetime
import glob
import signal
import sqlite3
import time

import pytest
import websockets.sync.client
from conftest import wait_for
from faults import HELD, PRICE, Faulty, Server, Traffic, check_budget, check_exact, openai
from test_crash import UTTERANCES, Realtime
from test_faults_disk import rows
from test_shared_limits import Redis

HOUR = 3600
# Nothing here takes a minute.
LONGEST_MS = 60_000


class Clock:
    """The wall clock of a process."""

    def __init__(self, folder):
        [library] = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        self.file = folder / "offset"
        self.variables = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.is_off_by(0)

    def is_off_by(self, seconds):
        # Put in its place whole: the process may read at any time.
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.rename(self.file)

    def says(self, moment):
        self.is_off_by(moment.timestamp() - time.time())


def test_a_clock_that_jumps_an_hour_back_and_forth_changes_no_bill_and_ends_no_session(openai, tmp_path):
    clock = Clock(tmp_path)
    gateway = Faulty(tmp_path, openai, variables=clock.variables)
    served = 0
    with Traffic(gateway) as traffic:
        for offset in (0, HOUR, -HOUR, 0):
            clock.is_off_by(offset)
            gateway.spend(5)
            served += 5
            traffic.goes_on()
    assert gateway.stop(signal.SIGTERM) == 0
    # What was recorded by a clock that was ahead is not forgotten by one that is not.
    clock.is_off_by(-HOUR)
    gateway = Faulty(tmp_path, openai, variables=clock.variables)
    served += gateway.spend_the_rest()
    gateway.delivered()
    assert gateway.stop(signal.SIGTERM) == 0
    found = rows(tmp_path)
    check_exact(openai, found)
    check_budget(found, served)
    assert all(0 <= row["latency_ms"] < LONGEST_MS for row in found), "durations are those of a clock that never jumps"
    now = datetime.datetime.now(datetime.timezone.utc)
    away = [round((now - datetime.datetime.fromisoformat(row["started_at"])).total_seconds() / HOUR) for row in found]
    assert set(away) == {-1, 0, 1}, "the clock did jump"


MONTHLY = "sk-e2e-a-budget-of-the-month-0013"


def test_a_session_over_the_end_of_a_month_is_billed_to_both(openai, tmp_path):
    clock = Clock(tmp_path)
    clock.says(datetime.datetime(2026, 11, 30, 23, 50, tzinfo=datetime.timezone.utc))
    more = f"""
      - {{ name: monthly, key: {MONTHLY}, budget: {{ usd: "1.00", window: monthly }} }}
"""
    gateway = Faulty(tmp_path, openai, more=more, variables=clock.variables)

    def spent():
        return gateway.spent(MONTHLY)[0]

    client = Realtime(gateway.url, None)
    headers = {"authorization": f"Bearer {MONTHLY}", "x-antiphon-user": "1"}
    url = f"ws://{client.address}/v1/realtime?{client.query}"
    with websockets.sync.client.connect(url, additional_headers=headers) as session:
        for turn in range(2):
            client.turn(session, f"1-{turn}", UTTERANCES[0])
        assert spent() > 0
        clock.says(datetime.datetime(2026, 12, 1, 0, 1, tzinfo=datetime.timezone.utc))
        assert spent() == 0, "a new month"
        # A turn begins where the one before it ended.
        for turn in range(2, 5):
            client.turn(session, f"1-{turn}", UTTERANCES[0])
    gateway.delivered()
    found = sorted(rows(tmp_path), key=lambda row: row["sequence"])
    check_exact(openai, found)
    costs = [row["cost_nano_usd"] for row in found]
    assert [row["started_at"][:7] for row in found] == ["2026-11"] * 3 + ["2026-12"] * 2
    assert spent() == sum(costs[3:])
    with sqlite3.connect(tmp_path / "data" / "antiphon.db") as database:
        sums = "SELECT bucket_start, sum(cost_nano_usd) FROM usage_daily GROUP BY 1 ORDER BY 1"
        days = database.execute(sums).fetchall()
    database.close()
    assert [cost for _, cost in days] == [sum(costs[:3]), sum(costs[3:])]
    assert gateway.stop(signal.SIGTERM) == 0
    gateway = Faulty(tmp_path, openai, more=more, variables=clock.variables)
    assert spent() == sum(costs[3:]), "and so it is after a restart"
    assert gateway.stop(signal.SIGTERM) == 0


@pytest.fixture
def database():
    database = Server()
    yield database
    database.stop()


@pytest.fixture
def redis():
    redis = Redis()
    yield redis
    redis.stop()


def test_gateways_whose_clocks_differ_by_two_hours_share_one_budget(openai, database, redis, tmp_path):
    name, gateways = database.new_database(), []
    for folder, offset in [("early", -HOUR), ("late", HOUR)]:
        (tmp_path / folder).mkdir()
        clock = Clock(tmp_path / folder)
        clock.is_off_by(offset)
        more = f'redis: {{ url: "{redis.url}", call_timeout: 2s }}\n'
        place = (tmp_path / folder, openai, database.address(name))
        gateways.append(Faulty(*place, more, variables=clock.variables))
    for gateway in gateways:
        gateway.until(lambda told: told["redis"]["status"] == "ok" and told["redis"]["gateways"] == 2)

    early, late = gateways
    early.spend(20)
    late.spend(20)
    for gateway in gateways:
        gateway.delivered()
    # Records whose ids are too old for what Redis counts by itself come with the next reading of the past, which an
    # admission asks for, at most once in five seconds.
    asked = int(redis.run("hget", redis.run("keys", "antiphon:*:account"), "ask")) / 1e6
    wait_for(lambda: int(redis.run("time").split()[0]) > asked + 6)
    late.spend(1)
    for gateway in gateways:
        wait_for(lambda: gateway.spent() == (41 * PRICE, 0))
    assert (late.spend_the_rest(), early.speak().status_code) == (HELD - 41, 429)
    for gateway in gateways:
        gateway.delivered()
    check_budget(database.rows(name), HELD)
    assert [gateway.stop(signal.SIGTERM) for gateway in gateways] == [0, 0]

