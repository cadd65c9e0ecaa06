"""Usage records are exact under crashes: the gateway is killed in the middle of its work, 20 times.

A call whose last byte reached the client has exactly one record with the exact cost. A call that was
in flight at a kill has at most one, and there are never more records than calls the provider took.
"""

import http.client
import json
import random
import signal
import sqlite3
import threading
import time
import urllib.parse
import urllib.request

from conftest import KEY, Gateway, Upstream, wait_for

ROUNDS = 20
CLIENTS = 6
TEXT = "Every second, every character and every token is accounted for."
# tts-1: 15 US dollars for a million characters.
COST_NANO_USD = len(TEXT) * 15_000


class Client(threading.Thread):
    """Asks for speech over and over, and notes the ids of the answers it received whole."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.address = urllib.parse.urlsplit(url).netloc
        self.ended = threading.Event()
        self.whole = []

    def run(self):
        body = json.dumps({"model": "openai/tts-1", "voice": "alloy", "input": TEXT, "response_format": "pcm"})
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        while not self.ended.is_set():
            connection = http.client.HTTPConnection(self.address, timeout=10)
            try:
                connection.request("POST", "/v1/audio/speech", body, headers)
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                self.whole.append(answer.headers["x-request-id"])
            except (OSError, http.client.HTTPException):
                return
            finally:
                connection.close()


def test_a_killed_gateway_loses_no_record_and_writes_none_twice(tmp_path):
    chance = random.Random(20261121)
    openai = Upstream("openai", tmp_path)
    upstreams = {"openai": openai, "azure": openai, "groq": openai, "self-hosted": openai}
    whole = []
    try:
        for _ in range(ROUNDS):
            gateway = Gateway(tmp_path, upstreams)
            clients = [Client(gateway.url) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            # The moment of the kill is what is random here; nothing is waited for.
            time.sleep(chance.uniform(0.05, 0.4))
            gateway.stop(signal.SIGKILL)
            for client in clients:
                client.ended.set()
                client.join()
                whole += client.whole
        gateway = Gateway(tmp_path, upstreams)

        def replayed():
            with urllib.request.urlopen(gateway.url + "/readyz") as answer:
                return json.load(answer)["journal"]["pending_records"] == 0 or None

        wait_for(replayed)
        assert gateway.stop(signal.SIGTERM) == 0
        counts = openai._control("GET", "/_counts")
    finally:
        openai.stop(signal.SIGINT)

    with sqlite3.connect(tmp_path / "data" / "antiphon.db") as database:
        rows = database.execute("select request_id, cost_nano_usd, status from usage_records").fetchall()
    recorded = [request for request, _, _ in rows]
    assert len(whole) > ROUNDS, "the clients were served between the kills"
    assert len(recorded) == len(set(recorded)), "no call has two records"
    assert not set(whole) - set(recorded), "no call that was answered lacks its record"
    assert {cost for _, cost, _ in rows} == {COST_NANO_USD}
    asked = sum(count["requests"] for count in counts["by"])
    assert len(recorded) <= asked, "no record without a call"
    # What a kill leaves open is at most what was in flight.
    assert asked - len(recorded) <= ROUNDS * CLIENTS
