"""What the admin plane says of decisions is what the gateway does: routes take effect at once, simulations agree
with what is served, and providers are tried out by real calls."""

import json
import signal
import sqlite3
import subprocess
import time
import urllib.error
import urllib.request

import openai
import pytest
from conftest import KEY, PATIENCE_S, Gateway, Program, Upstream, binary

# What the scripted providers accept, and nobody may be told.
CANARY = "sk-upstream"
# What is promised of a change.
IN_FORCE_S = 1.0

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0" }}
  metrics: {{ bind: "127.0.0.1:0" }}
providers:
  - {{ name: one, kind: openai, api_key: {canary}, base_url: "{one}/v1", allow_insecure: true }}
  - {{ name: two, kind: openai, api_key: {canary}, base_url: "{two}/v1", allow_insecure: true }}
models:
  - {{ name: from-file, targets: [{{ provider: one, model: tts-1 }}] }}
tenants:
  - name: acme
    keys:
      - {{ name: all, key: {key} }}
"""


class Installation(Gateway):
    """Both planes of one process, and somebody who may do everything."""

    def __init__(self, folder, one, two):
        self.folder = folder
        self.serve(folder, CONFIG.format(canary=CANARY, one=one.url, two=two.url, key=KEY))
        self.admin = Admin(self.admin_url, folder)

    def served_by(self, model):
        answer = self.client().audio.speech.with_raw_response.create(model=model, voice="alloy", input="Hello")
        return answer.headers["x-antiphon-provider"]


class Admin:
    """A client of the admin API, signed in."""

    def __init__(self, url, folder):
        self.url = url
        command = [binary("antiphon"), "--config", "antiphon.yaml", "admin-user", "create", "--json"]
        command += ["--email", f"{time.monotonic_ns()}@example.org", "--role", "platform_admin"]
        made = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env={"HOME": str(folder)})
        made = json.loads(made.stdout)
        self.token = ""
        login = {"email": made["email"], "password": made["password"]}
        self.token = self.ask("POST", "/api/v1/auth/login", login)[1]["access_token"]

    def ask(self, method, path, body=None):
        headers = {"content-type": "application/json"} if body is not None else {}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            status, text = refused.code, refused.read().decode()
        assert CANARY not in text
        return status, json.loads(text) if text else None

    def simulate(self, **call):
        status, told = self.ask("POST", "/api/v1/models/simulate", call)
        assert status == 200, told
        return told


class Alone(Program):
    """The admin plane beside nothing but the database."""

    def __init__(self, folder):
        command = [binary("antiphon"), "admin", "--config", "antiphon.yaml", "--admin-bind", "127.0.0.1:0"]
        super().__init__(command, folder, "alone")


@pytest.fixture(scope="module")
def providers(tmp_path_factory):
    running = [Upstream("openai", tmp_path_factory.mktemp(name)) for name in ("one", "two")]
    yield running
    for provider in running:
        provider.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def installation(tmp_path_factory, providers):
    running = Installation(tmp_path_factory.mktemp("decisions"), *providers)
    yield running
    assert running.stop(signal.SIGTERM) == 0
    assert CANARY not in running.log.read_text()


def target(provider, **more):
    return {"provider": provider, "model": "tts-1", **more}


def within(seconds, found):
    deadline = time.monotonic() + seconds
    while not (answer := found()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return answer


def provider_id(installation, name):
    with sqlite3.connect(installation.folder / "data" / "antiphon.db") as database:
        return database.execute("SELECT id FROM providers WHERE name = ?", (name,)).fetchone()[0]


def test_a_route_is_in_force_as_soon_as_it_is_written(installation):
    admin = installation.admin
    targets = [target("one", priority=1), target("two", priority=2)]
    status, made = admin.ask("POST", "/api/v1/models", {"name": "fresh", "targets": targets})
    assert status == 201, made

    def serves(provider):
        try:
            return installation.served_by("fresh") == provider
        except openai.NotFoundError:
            return False

    assert within(IN_FORCE_S, lambda: serves("one"))
    path = f"/api/v1/models/{made['id']}"
    targets = [target("one", priority=3), target("two", priority=2)]
    assert admin.ask("PATCH", path, {"targets": targets})[0] == 200
    assert within(IN_FORCE_S, lambda: serves("two"))
    assert admin.ask("DELETE", path)[0] == 204
    gone = lambda: not serves("one") and not serves("two")
    assert within(IN_FORCE_S, gone)


def test_what_the_file_declares_is_shown_and_left_alone(installation):
    status, page = installation.admin.ask("GET", "/api/v1/models?q=from-file")
    assert (status, [model["managed_by"] for model in page["data"]]) == (200, ["file"])
    status, problem = installation.admin.ask("DELETE", f"/api/v1/models/{page['data'][0]['id']}")
    assert (status, problem["code"]) == (409, "managed_by_file")


def test_a_simulation_tells_who_serves_the_next_call(installation, providers):
    admin = installation.admin
    for strategy, first in [("priority", "two"), ("quality", "one"), ("weighted", None)]:
        targets = [target("one", priority=2, quality=0.9, weight=1), target("two", priority=1, quality=0.1, weight=2)]
        name = f"by-{strategy}"
        status, made = admin.ask("POST", "/api/v1/models", {"name": name, "strategy": strategy, "targets": targets})
        assert status == 201, made
        assert within(IN_FORCE_S, lambda: admin.simulate(model=name, operation="speech")["strategy"] == strategy)
        for _ in range(4):
            expected = admin.simulate(model=name, operation="speech", characters=5)["targets"][0]
            assert (expected["place"], expected["dropped"]) == (1, None)
            assert expected["measures"]["expected_cost_usd"] == "0.000075"
            assert first in (None, expected["provider"])
            assert installation.served_by(name) == expected["provider"]

    told = admin.simulate(model="by-priority", operation="speech", characters=100_000)
    assert {one["dropped"]["code"] for one in told["targets"]} == {"text_unsupported"}, "longer than a target takes"
    assert told["live"] and told["refused"]["code"] == "invalid_request"
    told = admin.simulate(model="by-priority", operation="chat")
    assert {one["dropped"]["code"] for one in told["targets"]} == {"operation_unsupported"}
    assert (told["refused"]["status"], told["refused"]["code"]) == (400, "invalid_request")
    assert admin.simulate(model="by-priority", operation="speech", strategy="quality")["strategy"] == "quality"
    assert admin.simulate(model="nothing", operation="chat")["refused"]["code"] == "model_not_found"

    # Its breaker opens, here and there.
    providers[1].script("audio/speech", times=5, status=500)
    for _ in range(5):
        assert installation.served_by("by-priority") == "one"
    told = admin.simulate(model="by-priority", operation="speech")
    assert [(one["provider"], (one["dropped"] or {}).get("code")) for one in told["targets"]] == [
        ("one", None), ("two", "breaker_open"),
    ]
    providers[1].reset()


def test_a_provider_is_tried_out_by_real_calls(installation, providers):
    path = f"/api/v1/providers/{provider_id(installation, 'one')}/test"
    before = len(providers[0].requests())
    status, told = installation.admin.ask("POST", path, {})
    assert (status, told["ok"]) == (200, True), told
    assert {one["operation"] for one in told["results"]} == {
        "transcription", "translation", "speech", "realtime", "chat", "embeddings",
    }
    assert len(providers[0].requests()) == before + 6
    speech = next(one for one in told["results"] if one["operation"] == "speech")
    assert speech["speech"]["content_type"].startswith("audio/") and speech["speech"]["base64"]
    assert all(one["total_ms"] >= one["first_byte_ms"] for one in told["results"])

    error = {"error": {"message": f"Incorrect API key provided: {CANARY}", "type": "x", "code": "invalid_api_key"}}
    providers[0].script("chat/completions", status=401, body=json.dumps(error))
    status, told = installation.admin.ask("POST", path, {"operations": ["chat"]})
    assert (status, told["ok"], told["results"][0]["http_status"]) == (200, False, 401)
    assert told["results"][0]["error"]["code"] == "credential_refused"
    assert "Incorrect API key" in told["results"][0]["error"]["message"]
    assert providers[0].violations() == []


def test_the_admin_plane_alone_answers_from_the_database(installation, providers):
    alone = Alone(installation.folder)
    admin = Admin(alone.url, installation.folder)
    told = admin.simulate(model="from-file", operation="speech", characters=1000)
    assert (told["live"], told["refused"]) == (False, None)
    assert [(one["provider"], one["measures"]["expected_cost_usd"]) for one in told["targets"]] == [("one", "0.015")]
    status, told = admin.ask("POST", f"/api/v1/providers/{provider_id(installation, 'two')}/test", {"operations": ["chat"]})
    assert (status, told["ok"]) == (200, True), told
    assert alone.stop(signal.SIGTERM) == 0
