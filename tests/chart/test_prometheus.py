"""A real Prometheus scrapes the real gateway: it takes the metrics, evaluates every rule, and answers every panel."""

import contextlib
import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from conftest import CHART, prometheus_program

PATIENCE_S = 60
KEY = "key-of-the-chart-tests-0123456789"
CONFIG = f"""
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0" }}
  metrics: {{ bind: "127.0.0.1:0" }}
  data_dir: data
database: {{ url: "sqlite://data/antiphon.db" }}
telemetry: {{ format: json }}
providers:
  # Nothing listens there, so that a call fails as it does when a provider is away.
  - {{ name: away, kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", allow_insecure: true }}
tenants:
  - {{ name: acme, keys: [{{ name: ci, key: {KEY} }}] }}
"""
# What a gateway has told of after one call that was served and one that failed.
TOLD = ["antiphon_requests_total", "antiphon_errors_total", "antiphon_cost_nano_usd_total", "antiphon_request_duration_seconds_bucket",
        "antiphon_time_to_first_byte_seconds_bucket", "antiphon_characters_total", "antiphon_audio_milliseconds_total",
        "antiphon_breaker_state", "antiphon_admin_requests_total", "antiphon_admin_request_duration_seconds_bucket", "antiphon_journal_pending_records", "antiphon_resident_memory_bytes",
        "antiphon_worker_delay_seconds", "antiphon_memory_overload_level"]


def wait_for(what, told):
    """What it gives, once it gives anything."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            if found := what():
                return found
        time.sleep(0.05)
    raise AssertionError(f"never: {told}")


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return json.load(answer)


@contextlib.contextmanager
def running(command, folder, name):
    """A program with its log, ended in order afterwards."""
    log = folder / f"{name}.log"
    with open(log, "wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)
    try:
        yield lambda: log.read_text() if process.poll() is None else pytest.fail(log.read_text())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def call(url, model):
    body = json.dumps({"model": model, "voice": "slt", "input": "Hello.", "response_format": "wav"}).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/v1/audio/speech", body, headers), timeout=PATIENCE_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.status


@pytest.fixture(scope="module")
def prometheus(antiphon, tmp_path_factory):
    """The address of a Prometheus that has scraped a gateway with calls behind it, and evaluated the rules."""
    program, folder = prometheus_program("prometheus"), tmp_path_factory.mktemp("prometheus")
    (folder / "antiphon.yaml").write_text(CONFIG)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(running([antiphon, "serve", "--config", "antiphon.yaml"], folder, "gateway"))
        url, metrics, admin = (
            wait_for(lambda words=words: re.search(rf'"message":"{words}".*?"url":"([^"]+)"', log()), words)[1]
            for words in ("gateway is listening", "metrics are listening", "the admin plane is listening")
        )
        assert get(f"{admin}/api/v1/instance")["version"]
        assert call(url.removesuffix("/v1"), "local/flite") == 200
        assert call(url.removesuffix("/v1"), "away/tts") >= 500
        target = urllib.parse.urlsplit(metrics).netloc
        rules = CHART / "rules" / "antiphon.yaml"
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(rules)],
            "scrape_configs": [{"job_name": "antiphon", "static_configs": [{"targets": [target]}]}],
        }))
        command = [program, "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb", "--web.listen-address=127.0.0.1:0"]
        log = stack.enter_context(running(command, folder, "prometheus"))
        address = wait_for(lambda: re.search(r'msg="Listening on".* address=(\S+)', log()), "Prometheus listens")[1]
        api = f"http://{address}/api/v1"
        wait_for(lambda: get(f"{api}/query?query=rate(antiphon_requests_total[1m])")["data"]["result"], "two scrapes")
        yield api


def test_it_evaluates_every_rule_and_a_healthy_gateway_fires_none(prometheus):
    def evaluated():
        groups = get(f"{prometheus}/rules")["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if rules and all(rule["health"] != "unknown" for rule in rules) else None

    rules = wait_for(evaluated, "every rule was evaluated")
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def test_it_has_what_the_gateway_tells(prometheus):
    for name in TOLD:
        assert get(f"{prometheus}/query?query={name}")["data"]["result"], name


def test_every_panel_s_query_is_answered_and_what_was_called_is_seen(prometheus):
    answered = {}
    for file in sorted((CHART / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                # As Grafana asks, with all namespaces chosen.
                query = target["expr"].replace("$__rate_interval", "1m").replace("$namespace", ".*")
                answer = get(f"{prometheus}/query?{urllib.parse.urlencode({'query': query})}")
                assert answer["status"] == "success", panel["title"]
                answered[f"{file.stem}: {panel['title']}"] = answer["data"]["result"]
    for seen in ("overview: Gateways", "overview: Calls by operation", "overview: Errors by code", "overview: Open sessions",
                 "overview: First byte", "overview: Whole call", "overview: Characters spoken by provider", "admin: Requests by status",
                 "admin: Slowest routes", "cost: Cost, last hour", "saturation: Memory by gateway"):
        assert answered[seen], seen
    operations = {result["metric"]["operation"] for result in answered["overview: Calls by operation"]}
    assert operations == {"speech"}
