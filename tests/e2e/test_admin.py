"""The admin plane as operators and their programs use it: by its document, by the README, by curl alone."""

import csv
import decimal
import json
import os
import pathlib
import re
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

import conftest

README = pathlib.Path(__file__).parents[2] / "README.md"
CONFIG = """
server:
  gateway: { bind: "127.0.0.1:0" }
  admin: { bind: "127.0.0.1:0" }
  metrics: { bind: "127.0.0.1:0" }
  data_dir: data
database: { url: "sqlite://data/antiphon.db" }
"""


class Planes(conftest.Gateway):
    """Both planes of an empty machine, and its first administrator."""

    def __init__(self, folder):
        self.folder = folder
        self.serve(folder, CONFIG)
        self.password = re.search(r"password  (\S+)", self.out.read_text()).group(1)

    def ask(self, path, token="", body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"{self.admin_url}/api/v1/{path}", data, headers)
        try:
            answer = urllib.request.urlopen(request, timeout=conftest.PATIENCE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read().decode()
            return answer.status, json.loads(text) if text else None

    def sign_in(self, email="admin@localhost", password=None):
        status, told = self.ask("auth/login", body={"email": email, "password": password or self.password})
        assert status == 200, told
        return told["access_token"]


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    planes = Planes(tmp_path_factory.mktemp("planes"))
    yield planes
    assert planes.stop(signal.SIGTERM) == 0, planes.log.read_text()


def test_the_readme_leads_from_nothing_to_a_bill_that_adds_up(planes, all_upstreams):
    section = README.read_text().split("## Manage it", 1)[1]
    script = re.search(r"```sh\n(.*?)```", section, re.DOTALL).group(1)
    upstream = all_upstreams["openai"]
    environment = {
        "PATH": os.environ["PATH"], "PASSWORD": planes.password, "ADMIN": planes.admin_url, "GATEWAY": planes.url,
        "VENDOR": f"{upstream.url}/v1", "VENDOR_KEY": "sk-upstream", "INSECURE": "true",
    }
    done = subprocess.run(
        ["sh", "-euc", script], cwd=planes.folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = [decimal.Decimal(cost) for cost in re.findall(r"(?i)x-antiphon-cost-usd: (\S+)", done.stdout)]
    assert len(told) == 2 and all(cost > 0 for cost in told), done.stdout
    with (planes.folder / "usage.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2, rows
    nano = sum(int(row["cost_nano_usd"]) for row in rows)
    assert nano == sum(told) * 1_000_000_000, (rows, told)
    assert sum(decimal.Decimal(row["cost_usd"]) for row in rows) == sum(told)
    # What was told once is nowhere else.
    answers = done.stdout + (planes.folder / "usage.csv").read_text() + planes.log.read_text()
    assert "sk-upstream" not in answers and planes.password not in answers
    database = (planes.folder / "data/antiphon.db").read_bytes()
    waiting = planes.folder / "data/antiphon.db-wal"
    database += waiting.read_bytes() if waiting.exists() else b""
    assert b"sk-upstream" not in database and planes.password.encode() not in database


def objects(planes, token):
    """The path below which an object stands, and its id: one of each kind."""
    made = {}
    for path, body in [
        ("tenants", {"name": "checked"}),
        ("users", {"email": "checked@example.com", "role": "platform_admin"}),
        ("providers", {"name": "checked", "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "allow_insecure": True}),
        ("models", {"name": "checked", "targets": [{"provider": "checked", "model": "tts-1"}]}),
        ("keys", {"name": "checked"}),
        ("prices", {"provider_kind": "openai", "model": "checked", "operation": "transcription",
                    "unit": "audio_minute", "price_usd": "1", "effective_from": "2026-01-01T00:00:00Z",
                    "source": "a contract", "read_on": "2026-11-22"}),
        ("alerts/rules", {"name": "checked", "condition": {"kind": "unpriced"}}),
        ("alerts/channels", {"name": "checked", "settings": {"kind": "slack", "url": "https://hooks.example.com/x"}}),
    ]:
        if path == "keys":
            body["tenant_id"] = made["tenants"]
        status, told = planes.ask(path, token, body)
        assert status == 201, (path, told)
        made[path] = told.get("id") or told["user"]["id"]
    status, told = planes.ask("audit?limit=1", token)
    assert status == 200, told
    return made | {"audit": told["data"][0]["id"]}


# A stream of events takes no end, and profiles take their time: what they tell is asked for in tests of their own.
NOT_ENDLESS = ["--exclude-path-regex", "/sessions/events|/debug/profile|/auth/|/tokens"]
# What belongs to whoever signs in.
ACCOUNT = ["--include-path-regex", "/auth/|/tokens"]
EACH, STATEFUL = "examples,coverage,fuzzing", "stateful"


@pytest.mark.parametrize("which, phases", [(NOT_ENDLESS, EACH), (NOT_ENDLESS, STATEFUL), (ACCOUNT, f"{EACH},{STATEFUL}")])
def test_every_operation_does_what_its_document_says(planes, which, phases, tmp_path):
    root = planes.sign_in()
    status, made = planes.ask("tokens", root, {"name": tmp_path.name, "role": "platform_admin"})
    assert status == 201, made
    token = made["token"]
    # What hangs together between fields, no schema says: such a request may be told 422, and 401 where a password
    # is wrong. An upstream that is not there is 502.
    config = "[checks.positive_data_acceptance]\nexpected-statuses = [\"2xx\", 302, 400, 401, 403, 404, 409, 412, 422, 429, 502]\n"
    if which is ACCOUNT:
        # Any token but the one that the run itself has.
        known = {"tokens": planes.ask("tokens", root, {"name": f"{tmp_path.name}-other"})[1]["id"]}
    else:
        # Sequences make their own objects.
        known = objects(planes, token) if phases == EACH else {}
    for path, id in known.items():
        config += f'''
[[operations]]
include-path-regex = "^/api/v1/{path}/\\\\{{id\\\\}}"
{"" if path == "tokens" else 'exclude-method = "DELETE"'}
parameters = {{ "path.id" = "{id}" }}
'''
    (tmp_path / "schemathesis.toml").write_text(config)
    command = [
        pathlib.Path(conftest.ROOT) / ".venv/e2e/bin/schemathesis", "run", f"{planes.admin_url}/api/v1/openapi.json",
        "-H", f"Authorization: Bearer {token}", "--checks", "all", "--phases", phases,
        "--max-examples", "10", "--seed", "1", "--continue-on-failure", "--no-color", *which,
    ]
    signal.alarm(600)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=580)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    assert "Unresolvable references" not in done.stdout, done.stdout[-5_000:]
    status, told = planes.ask("auth/me", token)
    assert status == 200, f"the run has taken its own permission away: {told}"
    # What the HTTP library says of broken requests is no fault of ours.
    assert " ERROR admin" not in planes.log.read_text(), planes.log.read_text()
