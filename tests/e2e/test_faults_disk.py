"""The gateway's own disk fills, and somebody else holds its SQLite file."""

import contextlib
import resource
import signal
import sqlite3

import pytest
from conftest import KEY
from faults import Faulty, Traffic, check_budget, check_exact, openai


def rows(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "data" / "antiphon.db")) as database:
        database.row_factory = sqlite3.Row
        sums = [
            database.execute(f"SELECT {count}, sum(cost_nano_usd) FROM {table}").fetchone()
            for count, table in [("sum(requests)", "usage_daily"), ("count(*)", "usage_records")]
        ]
        assert tuple(sums[0]) == tuple(sums[1]), "the sums of the days are those of the records"
        return database.execute("SELECT * FROM usage_records").fetchall()


# A write beyond the limit shall fail as on a full disk; by default it ends the process.
IGNORING = ["env", "--ignore-signal=XFSZ"]


class Disk:
    """What the process may write: no byte of a file lies beyond `most`. This needs no root, and binds it as well."""

    def __init__(self, gateway):
        self.process, self.hard = gateway.process.pid, resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)[1]

    def ends_at(self, most):
        resource.prlimit(self.process, resource.RLIMIT_FSIZE, (most, self.hard))

    def has_room(self):
        self.ends_at(self.hard)


def test_a_held_sqlite_file_delays_records_and_no_call(openai, tmp_path):
    gateway = Faulty(tmp_path, openai)
    with Traffic(gateway) as traffic:
        traffic.goes_on()
        with contextlib.closing(sqlite3.connect(tmp_path / "data" / "antiphon.db", isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            gateway.spend(10)
            told = gateway.until(lambda told: told["database"] == "unreachable")
            assert told["status"] == "ready" and told["journal"]["pending_records"] > 0
            traffic.goes_on(10)
            other.execute("ROLLBACK")
        gateway.until(lambda told: told["database"] == "ok")
        traffic.goes_on()
    served = 10 + gateway.spend_the_rest()
    gateway.delivered()
    check_exact(openai, rows(tmp_path))
    check_budget(rows(tmp_path), served)
    assert gateway.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("room", [0, 700])
def test_a_full_disk_stops_new_work_and_loses_no_record(openai, tmp_path, room):
    """It fills with little room in the journal, so that one record is written in part."""
    gateway = Faulty(tmp_path, openai, command=IGNORING)
    disk = Disk(gateway)
    gateway.spend(10)
    gateway.delivered()
    journal = sum(file.stat().st_size for file in (tmp_path / "data" / "journal").glob("*.journal"))
    disk.ends_at(journal + room)
    served = 10
    while (answer := gateway.speak()).status_code == 200:
        served += 1
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    told = gateway.readiness()
    assert (told["status"], told["journal"]["accepting"]) == ("not_ready", False)
    assert gateway.speak(KEY).status_code == 503
    disk.has_room()
    gateway.until(lambda told: told["status"] == "ready")
    served += gateway.spend_the_rest()
    gateway.delivered()
    assert gateway.stop(signal.SIGTERM) == 0
    assert "panicked" not in gateway.log.read_text()
    check_budget(rows(tmp_path), served)
