"""Secrets and words placed wherever there is a place for them: none of them is told anywhere, not in a log, an
answer, a metric, an export or a column."""

import base64
import glob
import http.server
import itertools
import json
import re
import signal
import subprocess
import threading
import types
import urllib.parse

import httpx2
import pytest
from conftest import Gateway, Program, binary, wait_for
from test_replicas import Database

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0", public_url: "http://127.0.0.1:1" }}
  metrics: {{ bind: "{metrics}" }}
  data_dir: data
database: {{ url: "{database}" }}
secrets: {{ master_key: "{master_key}" }}
oidc: {{ issuer: "http://127.0.0.1:9", client_id: us, client_secret: "{oidc}", allow_insecure: true }}
smtp: {{ host: 127.0.0.1, port: 9, username: us, password: "{smtp}", from: "us@example.com", tls: none }}
providers:
  - {{ name: filed, kind: openai, api_key: "{filed_vendor}", base_url: "{vendor}/v1", allow_insecure: true }}
tenants:
  - name: acme
    keys: [{{ name: filed, key: "{filed_key}" }}]
"""


class Canaries(dict):
    """Texts that stand nowhere else, by what they are."""

    def new(self, name, prefix="", secret=True):
        self[name] = f"{prefix}canary{len(self):02}{name.replace('_', '')}Zq7Xw9LmKp3Rt5VbHn2Jc8"
        return self[name]

    def found_in(self, data):
        """Which of them stand in these bytes, as they are or in a form that is as good."""
        found = []
        for name, text in self.items():
            plain = text.encode()
            forms = [plain, plain.hex().encode(), urllib.parse.quote(text).encode()]
            # Wherever a text begins among the others of a base64 run, its middle reads the same one of three ways.
            forms += [base64.b64encode(b"\0" * lead + plain)[4:-4] for lead in range(3)]
            if any(form in data for form in forms):
                found.append(name)
        return found


class Vendor(http.server.BaseHTTPRequestHandler):
    """A provider that says what it was asked with whenever it fails, as some do."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        asked = json.loads(body).get("input", "") if body.startswith(b"{") else ""
        if "fail" in asked:
            secret = self.headers["authorization"]
            told = json.dumps({"error": {"message": f"Incorrect API key provided: {secret}", "type": "x", "code": secret}})
            self.send_response(401 if "401" in asked else 500, f"not with {secret}")
            self.send_header("www-authenticate", f"Bearer error={secret}")
        else:
            told = "ID3" + "x" * 2000
            self.send_response(200)
            self.send_header("content-type", "audio/mpeg")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def vendor():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class Both(Gateway):
    """Both planes with everything that can hold a secret, telling all they can in their log."""

    def __init__(self, folder, database, vendor, canaries):
        self.canaries = canaries
        self.told = []
        with __import__("socket").create_server(("127.0.0.1", 0)) as free:
            self.metrics = f"127.0.0.1:{free.getsockname()[1]}"
        config = CONFIG.format(
            metrics=self.metrics, database=database, vendor=vendor,
            master_key=base64.b64encode(canaries.new("master")[:32].encode()).decode(),
            oidc=canaries.new("oidc"), smtp=canaries.new("smtp"), filed_vendor=canaries.new("filed_vendor", "sk-"),
            filed_key=canaries.new("filed_key", "sk-"),
        )
        canaries["master"] = canaries["master"][:32]
        (folder / "antiphon.yaml").write_text(config)
        variables = {
            "ANTIPHON_LOG": "trace", "ANTIPHON_ADMIN_EMAIL": "ada@example.com",
            "ANTIPHON_ADMIN_PASSWORD": canaries.new("first_password"),
        }
        Program.__init__(self, [binary("antiphon"), "serve", "--config", "antiphon.yaml"], folder, "antiphon", variables)
        wait_for(self.ready)

    def send(self, method, url, reveals=False, **options):
        """Asks, and keeps what is told, unless it is the one answer that shows a secret."""
        answer = httpx2.request(method, url, timeout=30, **options)
        if not reveals:
            self.told.append((f"{method} {url}", str(answer.headers.multi_items()).encode() + answer.content))
        return answer

    def ask(self, method, path, token, body=None, reveals=False, **options):
        options.setdefault("json", body)
        headers = {"authorization": f"Bearer {token}", **options.pop("headers", {})}
        return self.send(method, f"{self.admin_url}/api/v1{path}", reveals, headers=headers, **options)

    def made(self, path, token, body, reveals=False):
        answer = self.ask("POST", path, token, body, reveals)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


def place(both, vendor):
    """Puts a secret wherever the admin plane takes or gives one, and uses it. Gives a platform administrator's token."""
    canaries = both.canaries
    login = both.send("POST", f"{both.admin_url}/api/v1/auth/login", True, json={
        "email": "ada@example.com", "password": canaries["first_password"],
    })
    root = canaries["access_token"] = login.json()["access_token"]
    canaries["refresh_token"] = next(iter(login.cookies.values()))
    wrong = {"email": "ada@example.com", "password": canaries.new("wrong_password")}
    both.send("POST", f"{both.admin_url}/api/v1/auth/login", json=wrong)
    canaries["pat"] = both.made("/tokens", root, {"name": "t", "role": "platform_admin"}, True)["token"]
    tenant = both.made("/tenants", root, {"name": "made"})["id"]
    invited = {"email": "bob@example.com", "role": "tenant_admin", "tenant_id": tenant}
    invitation = canaries["invitation"] = both.made("/users", root, invited, True)["invitation"]["token"]
    accepted = {"token": invitation, "password": canaries.new("second_password")}
    assert both.send("POST", f"{both.admin_url}/api/v1/auth/accept", json=accepted).is_success

    provider = {"name": "made", "kind": "openai", "base_url": f"{vendor}/v1", "allow_insecure": True}
    provider = both.made("/providers", root, provider)["id"]
    credential = {"label": "one", "secret": canaries.new("vendor", "sk-")}
    both.made(f"/providers/{provider}/credentials", root, credential)
    assert both.ask("POST", f"/providers/{provider}/test", root, {"operations": ["speech", "transcription"]}).is_success
    both.made("/models", root, {"name": "voice", "targets": [{"provider": "made", "model": "tts-1"}]})
    both.made("/alerts/channels", root, {"name": "hook", "settings": {
        "kind": "webhook", "url": f"{vendor}/{canaries.new('webhook_url')}", "secret": canaries.new("webhook"),
        "allow_insecure": True,
    }})
    both.made("/alerts/channels", root, {"name": "slack", "settings": {
        "kind": "slack", "url": f"{vendor}/{canaries.new('slack')}", "allow_insecure": True,
    }})
    both.made("/alerts/channels", root, {"name": "mail", "settings": {"kind": "email", "to": ["ops@example.com"]}})
    for channel in both.ask("GET", "/alerts/channels", root).json()["data"]:
        both.ask("POST", f"/alerts/channels/{channel['id']}/test", root)

    key = both.made("/keys", root, {"name": "app", "tenant_id": tenant}, True)
    canaries["rotated_key"] = key["secret"]
    canaries["key"] = both.made(f"/keys/{key['id']}/rotate", root, {"overlap_seconds": 600}, True)["secret"]
    bulk = both.ask("POST", f"/keys/bulk?tenant_id={tenant}", root, reveals=True, json=None, content=b"name\nbulk\n",
                    headers={"content-type": "text/csv"})
    canaries["bulk_key"] = bulk.json()["keys"][0]["secret"]
    return root


def call(both):
    """Calls that succeed, that fail, and that a provider answers with our own credential."""
    key, words = both.canaries["key"], both.canaries.new("words")
    asked = {"headers": {"authorization": f"Bearer {key}", "x-antiphon-user": "u"}}
    say = f"{both.url}/v1/audio/speech"
    body = {"model": "voice", "voice": "alloy", "input": words}
    wait_for(lambda: both.send("POST", say, json=body, **asked).is_success or None)
    statuses = [
        both.send("POST", say, json=body | {"model": model, "input": f"{fails} {words}"}, **asked).status_code
        for model, fails in itertools.product(("voice", "filed/tts-1"), ("fail 401", "fail 500"))
    ]
    assert all(status in (502, 503) for status in statuses), statuses
    both.send("POST", say, json=body | {"voice": 7, "model": words}, **asked)
    both.send("POST", say, json=body, headers={"authorization": f"Bearer {both.canaries.new('wrong_key', 'sk-ap-')}"})
    both.send("GET", f"{both.url}/v1/models", params={"key": both.canaries["filed_key"]})
    secret = {"session": {"type": "realtime", "model": "filed/gpt-realtime"}}
    minted = both.send("POST", f"{both.url}/v1/realtime/client_secrets", True, json=secret, **asked)
    assert minted.is_success, minted.text
    both.canaries["client_secret"] = minted.json()["value"]
    for path in ("usage", "models", "audio/voices"):
        both.send("GET", f"{both.url}/v1/{path}", **asked)


def crawl(both, token):
    """Every GET of the admin plane, with the ids of whatever there is; and the metrics."""
    wait_for(lambda: both.ask("GET", "/usage/records", token).json()["data"] or None)
    paths = both.send("GET", f"{both.admin_url}/api/v1/openapi.json").json()["paths"]
    ids = {}
    gets = [path.removeprefix("/api/v1") for path, item in paths.items() if "get" in item and "/events" not in path]
    for path in sorted(gets, key=lambda path: path.count("{")):
        for known in ids.get(path.split("/{")[0], [""])[:3]:
            filled = re.sub(r"\{\w+\}", known, path, count=1)
            if "{" in filled:
                inner = both.ask("GET", filled.split("/{")[0], token).json()["data"]
                filled = re.sub(r"\{\w+\}", inner[0]["id"] if inner else "none", filled)
            answer = both.ask("GET", filled, token)
            assert answer.status_code in (200, 303, 404, 409, 422, 502, 503), (filled, answer.text)
            if "{" not in path and "json" in answer.headers.get("content-type", ""):
                told = answer.json()
                rows = told.get("data", []) if isinstance(told, dict) else []
                ids[path] = [str(row.get("id") or row.get("name")) for row in rows if isinstance(row, dict)]
    for path in ("usage/export?format=json", "usage/export?format=jsonl", "audit/export?format=json", "prices/export?format=json"):
        assert both.ask("GET", f"/{path}", token).is_success
    metrics = both.send("GET", f"http://{both.metrics}/metrics")
    assert b"antiphon" in metrics.content


def columns(folder, database):
    """Everything that the database and the files beside it hold."""
    for path in (path for path in (folder / "data").rglob("*") if path.is_file()):
        yield path.name, path.read_bytes()
    if isinstance(database, Database):
        dump = max(glob.glob("/usr/lib/postgresql/*/bin/pg_dump"), default="pg_dump")
        yield "the database", subprocess.run([dump, database.url], check=True, capture_output=True).stdout


@pytest.fixture(params=["sqlite", "postgres"])
def database(request):
    if request.param == "sqlite":
        yield types.SimpleNamespace(url="sqlite://data/antiphon.db")
        return
    database = Database()
    yield database
    database.stop()


def test_no_secret_is_told_anywhere(tmp_path, database, vendor):
    canaries = Canaries()
    # The server of the tests lets anybody in: a password that it does not ask for is one all the same.
    url = database.url.replace("antiphon@", f"antiphon:{canaries.new('database_password')}@")
    both = Both(tmp_path, url, vendor, canaries)
    try:
        token = place(both, vendor)
        call(both)
        crawl(both, token)
    finally:
        status = both.stop(signal.SIGTERM)
    assert status == 0
    places = [*both.told, ("the log", both.log.read_bytes()), ("the output", both.out.read_bytes())]
    places += columns(tmp_path, database)
    assert len(canaries) > 20 and len(places) > 60, (len(canaries), len(places))
    found = {(where, name) for where, data in places for name in canaries.found_in(data)}
    # The wrong model is the caller's own word, told to nobody else.
    found -= {(f"POST {both.url}/v1/audio/speech", "words")}
    assert not found, sorted(found)
