"""What docs/operations/ says of secrets, of the database's users and of the admin API holds: its commands are run."""

import contextlib
import re
import signal
import sqlite3
import subprocess

import httpx2
import pytest
import test_admin
from conftest import PATIENCE_S, ROOT, wait_for
from faults import CONFIG, Faulty, Server, openai
from guide import commands, run

PAGES = sorted((ROOT / "docs" / "operations").glob("*.md"))
ROTATION = "key-rotation.md"
MASTER_KEY = re.search(r'master_key: "(.*)"', CONFIG).group(1)


class Planes(test_admin.Planes):
    """Both planes, which are stopped and started again."""

    def stopped_for(self, *statements):
        """Stops, changes the database, and starts again."""
        assert self.stop(signal.SIGTERM) == 0
        with contextlib.closing(sqlite3.connect(self.folder / "data" / "antiphon.db")) as database, database:
            for statement in statements:
                database.execute(statement)
        self.serve(self.folder, test_admin.CONFIG)

    def knows(self, token):
        status, _ = self.ask("auth/me", token)
        assert status in (200, 401)
        return status == 200

    def serves(self, key):
        answer = httpx2.get(self.url + "/v1/models", headers={"authorization": f"Bearer {key}"}, timeout=PATIENCE_S)
        assert answer.status_code in (200, 401)
        return answer.is_success


@pytest.fixture
def planes(tmp_path):
    planes = Planes(tmp_path)
    yield planes
    planes.process.kill()
    planes.process.wait()


def made(told):
    status, answer = told
    assert status == 201, answer
    return answer


def test_what_is_written_is_its_owners_alone(planes):
    tenant = made(planes.ask("tenants", planes.sign_in(), {"name": "acme"}))
    assert tenant["id"]
    open_to_others = [path for path in (planes.folder / "data").rglob("*") if path.stat().st_mode & 0o077]
    assert not open_to_others and (planes.folder / "data" / "antiphon.db").is_file()


def test_secrets_are_rotated_as_the_guide_says_and_cut_what_it_says(planes):
    access = planes.sign_in()
    program = made(planes.ask("tokens", access, {"name": "a program"}))["token"]
    tenant = made(planes.ask("tenants", access, {"name": "acme"}))["id"]
    key = made(planes.ask("keys", access, {"name": "app", "tenant_id": tenant}))["secret"]
    wait_for(lambda: planes.serves(key) or None)
    (of_signing,) = commands(ROTATION, "Keys that sign access tokens", "sql")
    (of_tokens,) = commands(ROTATION, "The token pepper", "sql")

    planes.stopped_for(of_tokens)
    assert planes.knows(program), "it is derived again, which is why the master key has to go first"
    (block,) = commands(ROTATION, "On SQLite, where it was generated")
    before = (planes.folder / "data" / "master.key").read_text()
    run(block, planes.folder)
    planes.stopped_for()
    assert (planes.folder / "data" / "master.key").read_text() != before
    assert planes.knows(access) and planes.knows(program) and planes.serves(key), "nothing of this is cut"

    planes.stopped_for(of_signing)
    assert not planes.knows(access) and planes.knows(program) and planes.serves(key)
    access = planes.sign_in()
    assert planes.knows(access)

    planes.stopped_for(of_tokens)
    assert not planes.knows(program) and planes.serves(key)
    assert planes.sign_in()

    planes.stopped_for(of_tokens.replace("token_pepper", "key_pepper"))
    assert not planes.serves(key)


def test_who_serves_needs_no_more_of_postgresql_than_the_guide_gives(openai, tmp_path):
    server = Server()
    try:
        check_least_privileges(server, openai, tmp_path)
    finally:
        server.stop()


def check_least_privileges(server, openai, tmp_path):
    server.run("CREATE DATABASE antiphon", alone=True)
    (statements,) = commands("hardening.md", "The database's users", "sql")
    server.run(statements, "antiphon")
    owner, serves = (server.address("antiphon").replace("antiphon@", f"{user}@") for user in ("antiphon_owner", "antiphon_serves"))
    run(f"antiphon migrate up --database-url {owner}", tmp_path)

    gateway = Faulty(tmp_path, openai, serves)
    gateway.spend(3)
    gateway.key_comes_into_force(tmp_path)
    gateway.delivered()
    assert gateway.stop(signal.SIGTERM) == 0
    variables = {"ANTIPHON_SECRETS__MASTER_KEY": MASTER_KEY, "ANTIPHON_DATABASE__URL": serves}
    for forbidden in ["DROP TABLE usage_records", "TRUNCATE audit_log", "ALTER TABLE tenants ADD x int"]:
        done = subprocess.run([server.psql, serves, "-X", "-c", forbidden], capture_output=True, text=True, check=False)
        assert done.returncode != 0 and re.search("must be owner|permission denied", done.stderr), forbidden

    # Its user is enough to exchange the master key as well.
    rotate, _ = commands(ROTATION, "On PostgreSQL, or where it is configured")
    run(rotate, tmp_path, variables)
    gateway = Faulty(tmp_path, openai, serves, variables={"ANTIPHON_SECRETS__MASTER_KEY": (tmp_path / "next.key").read_text()})
    assert gateway.spent()[0] > 0 and gateway.speak().status_code == 200
    assert gateway.stop(signal.SIGTERM) == 0


def test_what_is_asked_of_the_admin_api_is_there(planes):
    with_method = re.compile(r"`(GET|POST|PUT|PATCH|DELETE) ADMIN(/api/v1/[^`?\s]+)")
    paths = planes.ask("openapi.json")[1]["paths"]
    found = 0
    for page in PAGES:
        for method, path in with_method.findall(page.read_text(encoding="utf-8")):
            assert method.lower() in paths.get(path, {}), f"{page.name}: {method} {path}"
            found += 1
    assert found > 10
