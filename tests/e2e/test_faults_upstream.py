"""A provider that cannot be reached, or only now and then: clients do not notice while another one can serve."""

import contextlib
import signal
import socket

import httpx2
from conftest import KEY, PATIENCE_S, Upstream
from faults import Faulty, Proxy, openai
from test_crash import SPEECH_PER_CHARACTER
from test_faults_disk import rows

TEXT = "Nobody notices."
ROUTE = """models:
  - name: say
    strategy: priority
    targets:
      - { provider: first, model: tts-1, priority: 1 }
      - { provider: openai, model: tts-1, priority: 2 }
"""


def first(port):
    """A provider of this name at a port."""
    url = f"http://127.0.0.1:{port}/v1"
    return f'  - {{ name: first, kind: openai, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}\n'


def say(gateway, model):
    body = {"model": model, "input": TEXT, "voice": "alloy", "response_format": "pcm"}
    headers = {"authorization": f"Bearer {KEY}"}
    return httpx2.post(gateway.url + "/v1/audio/speech", json=body, headers=headers, timeout=PATIENCE_S)


@contextlib.contextmanager
def unreachable():
    """A port where connections are neither made nor refused, since nobody accepts the one that waits."""
    with socket.socket() as listener, contextlib.ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def accepted(upstream):
    return sum(count["accepted"]["answers"] for count in upstream._control("GET", "/_counts")["by"])


def billed(tmp_path, gateway):
    """How many calls of each provider are recorded, once all are."""
    gateway.delivered()
    found = rows(tmp_path)
    assert all(row["status"] == "ok" and row["cost_nano_usd"] == len(TEXT) * SPEECH_PER_CHARACTER for row in found)
    served = [row["provider"] for row in found]
    return {name: served.count(name) for name in set(served)}


def test_a_provider_that_is_never_reached_costs_the_time_to_connect_and_nothing_else(openai, tmp_path):
    with unreachable() as port:
        gateway = Faulty(tmp_path, openai, more=ROUTE + "timeouts: { connect: 200ms }\n", providers=first(port))
        answer = say(gateway, "say")
        assert (answer.status_code, answer.headers["x-antiphon-provider"]) == (200, "openai")
        assert answer.headers["x-antiphon-attempts"] == "2"
        alone = say(gateway, "first/tts-1")
        assert (alone.status_code, alone.json()["error"]["code"]) == (504, "upstream_timeout"), alone.text
        assert "`connect`" in alone.json()["error"]["message"]
        assert billed(tmp_path, gateway) == {"openai": accepted(openai)} == {"openai": 1}
        assert gateway.stop(signal.SIGTERM) == 0


def test_a_provider_that_comes_and_goes_is_not_noticed(openai, tmp_path):
    other = Upstream("openai", tmp_path)
    nobody = socket.socket()
    nobody.bind(("127.0.0.1", 0))
    there, gone = int(other.url.rsplit(":", 1)[1]), nobody.getsockname()[1]
    proxy = Proxy(there)
    more = ROUTE
    gateway = Faulty(tmp_path, openai, more=more, providers=first(proxy.port))
    for round in range(12):
        proxy.lead_to(gone if round % 2 else there)
        proxy.cut()
        assert [say(gateway, "say").status_code for _ in range(3)] == [200] * 3
    by = billed(tmp_path, gateway)
    assert by == {"first": accepted(other), "openai": accepted(openai)} and sum(by.values()) == 36
    assert by["first"] >= 3 and by["openai"] >= 18, "both have served"
    assert gateway.stop(signal.SIGTERM) == 0
    other.stop(signal.SIGINT)
    proxy.stop()
    nobody.close()
