"""Two hundred conversations at once and in real time: none fails, each is billed for exactly its time or its
tokens, and nothing is left of them.

`CONVERSATION_SECONDS` sets how long each is held; 60 is the full length.
"""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import struct
import time
import urllib.request
from decimal import Decimal

import pytest
from websockets.asyncio.client import connect

from conftest import KEY, LiveGateway, Vendors, wait_for
from test_conversations import CONFIG, MODELS, heard

SECONDS = float(os.environ.get("CONVERSATION_SECONDS", "8"))
SESSIONS = 200
CROWD = "sk-e2e-two-hundred-conversations-at-once"
AGENTS = ["elevenlabs", "ultravox", "deepgram", "google"]
# Milliseconds in which a vendor bills the time of a connection; Google bills tokens.
STEP_MS = {"elevenlabs": 1, "ultravox": 6_000, "deepgram": 1}
FRAME_MS, WORD_MS, SILENCE_MS = 100, 300, 800
QUIET = base64.b64encode(bytes(48 * FRAME_MS)).decode()
IN_MS = ("audio_in_ms",)
TOKENS_IN, TOKENS_OUT = ("text_tokens_in", "audio_tokens_in"), ("text_tokens_out", "audio_tokens_out")


class Crowd(LiveGateway):
    """The gateway with a key whose money is counted, and with a known address of its metrics."""

    def __init__(self, folder, vendors):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.metrics = "127.0.0.1:{}".format(free.getsockname()[1])
        config = CONFIG.format(url=vendors.url, key=KEY)
        config = config.replace('metrics: { bind: "127.0.0.1:0" }', f'metrics: {{ bind: "{self.metrics}" }}')
        key = f'      - {{ name: crowd, key: {CROWD}, budget: {{ usd: "10000.00", window: total }} }}\n'
        super().__init__(folder, config + key)

    def sessions(self):
        with urllib.request.urlopen(f"http://{self.metrics}/metrics") as answer:
            found = re.search(r"^antiphon_active_sessions (\d+)", answer.read().decode(), re.MULTILINE)
        return int(found.group(1))

    def sockets(self):
        """The sockets that the process holds."""
        folder = f"/proc/{self.process.pid}/fd"
        held = 0
        for number in os.listdir(folder):
            try:
                held += os.readlink(f"{folder}/{number}").startswith("socket:")
            except FileNotFoundError:
                continue
        return held


class Session:
    """One conversation: speech, and the next as soon as it was answered, and silence in between."""

    def __init__(self, number, seconds):
        self.seconds = seconds
        self.provider = AGENTS[number % len(AGENTS)]
        self.word = number + 1
        self.turns, self.tokens_in, self.tokens_out = 0, 0, 0
        self.said, self.answered = "", True

    async def hold(self, url, together):
        url = f"{url.replace('http', 'ws')}/v1/realtime?model={MODELS[self.provider]}"
        headers = {"authorization": f"Bearer {CROWD}"}
        self.began = time.monotonic()
        async with connect(url, additional_headers=headers, open_timeout=60, max_size=None) as connection:
            self.asked = connection.response.headers["x-request-id"]
            update = {"type": "session.update", "session": {"type": "realtime", "instructions": "Answer."}}
            await connection.send(json.dumps(update))
            while (await self.event(connection))["type"] != "session.updated":
                pass
            await together.wait()
            self.ready = time.monotonic()
            listening = asyncio.create_task(self.listen(connection))
            await self.speak(connection, listening)
            self.left = time.monotonic()
            listening.cancel()

    async def event(self, connection):
        event = json.loads(await connection.recv())
        assert event["type"] != "error", (self.provider, event["error"])
        return event

    async def listen(self, connection):
        while True:
            event = await self.event(connection)
            if event["type"] == "response.output_audio_transcript.delta":
                self.said += event["delta"]
            if event["type"] == "response.done":
                self.done(event["response"])

    def done(self, response):
        assert response["status"] == "completed", (self.provider, response["status_details"])
        # A client that is late is stood in for with silence, which may cut a word in two.
        words = re.fullmatch(r"You said ([w0-9 ]+)\.", self.said.strip())
        assert words and set(words[1].split()) == {heard(self.word)}, (self.provider, self.word, self.said)
        self.turns += 1
        self.tokens_in += response["usage"]["input_tokens"]
        self.tokens_out += response["usage"]["output_tokens"]
        self.said, self.answered = "", True

    async def speak(self, connection, listening):
        """A frame of audio whenever one is due, until the time is over and everything is answered."""
        frames, due = [], time.monotonic()
        while not listening.done():
            if self.answered and self.turns and time.monotonic() - self.ready >= self.seconds:
                return
            if self.answered:
                self.answered, frames = False, self.utterance()
            audio = frames.pop(0) if frames else QUIET
            await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            due += FRAME_MS / 1000
            await asyncio.sleep(due - time.monotonic())
        await listening

    def utterance(self):
        samples = struct.pack("<h", 2000 + 8 * self.word) * (24 * WORD_MS) + bytes(48 * SILENCE_MS)
        size = 48 * FRAME_MS
        return [base64.b64encode(samples[at : at + size]).decode() for at in range(0, len(samples), size)]


async def hold_all(url, count, seconds):
    sessions = [Session(number, seconds) for number in range(count)]
    together = asyncio.Barrier(count)
    async with asyncio.TaskGroup() as group:
        for session in sessions:
            group.create_task(session.hold(url, together))
    return sessions


@pytest.fixture
def vendors(tmp_path):
    vendors = Vendors(tmp_path)
    yield vendors
    vendors.stop(signal.SIGINT)


@pytest.fixture
def gateway(vendors, tmp_path):
    gateway = Crowd(tmp_path, vendors)
    yield gateway
    gateway.process.kill()
    gateway.process.wait()


def settled(client):
    """The key's sum, once nothing is reserved any more."""
    usage = client.get("/usage", cast_to=object)
    return Decimal(usage["spent_usd"]) if Decimal(usage["reserved_usd"]) == 0 else None


def summed(records, names):
    return sum(record["usage"][name] for record in records for name in names)


def check_bill(session, records, until):
    """The records are the time of the connection in whole steps, or the tokens that were reported."""
    assert all(record["cost_usd"] is not None for record in records), records
    if session.provider not in STEP_MS:
        assert summed(records, TOKENS_IN) == session.tokens_in > 0
        assert summed(records, TOKENS_OUT) == session.tokens_out > 0
        return
    step = STEP_MS[session.provider]
    least, most = (session.left - session.ready) * 1000, (until - session.began) * 1000
    billed = summed(records, IN_MS)
    assert billed % step == 0
    assert least <= billed < most + step, (session.provider, least, billed, most)


@pytest.mark.alone
def test_none_fails_and_nothing_is_left(gateway, vendors):
    signal.alarm(int(SECONDS) + 240)
    with gateway.client(CROWD) as client:
        # What is kept for later calls is there after the first of each kind.
        asyncio.run(hold_all(gateway.url, len(AGENTS), 0))
        before = wait_for(lambda: settled(client))
        wait_for(lambda: vendors.seen()["open"] == 0)
        sockets = gateway.sockets()

        sessions = asyncio.run(hold_all(gateway.url, SESSIONS, SECONDS))
        spent = wait_for(lambda: settled(client))
        until = time.monotonic()
        costs = Decimal(0)
        for session in sessions:
            records = client.get(f"/usage/{session.asked}", cast_to=object)["data"]
            check_bill(session, records, until)
            costs += sum(Decimal(record["cost_usd"]) for record in records)
        assert spent - before == costs

        wait_for(lambda: vendors.seen()["open"] == 0)
        wait_for(lambda: gateway.sessions() == 0)
        wait_for(lambda: gateway.sockets() <= sockets)
    assert vendors.seen()["violations"] == []
    # A task that was left would be waited for until the end of the drain, and told there.
    assert gateway.stop(signal.SIGTERM) == 0
    log = gateway.log.read_text()
    assert "still open" not in log and "panicked" not in log
