"""A client hangs up in every phase of a call, politely and not: nothing stays held, and what the provider had whole is
billed, once."""

import base64
import contextlib
import json
import os
import signal
import socket
import struct
import urllib.parse

from conftest import PATIENCE_S, wait_for, wav_of
from faults import Faulty, openai, serial_of
from test_crash import BOUNDARY, cost_of
from test_faults_disk import rows

NARROW = "sk-e2e-room-for-a-few-sessions-0014"
SESSIONS = 4
MORE = f"""
      - {{ name: narrow, key: {NARROW}, max_concurrent_sessions: {SESSIONS}, budget: {{ usd: "1.00", window: total }} }}
"""
HOSTNAME = "127.0.0.1"


def head(method, path, *lines):
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOSTNAME}", f"Authorization: Bearer {NARROW}", *lines]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def speech(serial, script=""):
    text = f"serial:{serial} {script} " + "word " * 10
    body = json.dumps({"model": "openai/tts-1", "voice": "alloy", "input": text, "response_format": "pcm"}).encode()
    lines = [f"x-antiphon-user: {serial}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return head("POST", "/v1/audio/speech", *lines), body


def upload(serial):
    form = "".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in {"model": "openai/whisper-1", "prompt": f"serial:{serial}"}.items()
    )
    form += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = form.encode() + wav_of(bytes(32_000), 16_000) + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"Content-Type: multipart/form-data; boundary={BOUNDARY}"
    lines = [f"x-antiphon-user: {serial}", kind, f"Content-Length: {len(body)}"]
    return head("POST", "/v1/audio/transcriptions", *lines), body


def handshake(serial):
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "Upgrade: websocket", "Connection: Upgrade"]
    return head("GET", "/v1/realtime?model=openai/gpt-realtime", f"x-antiphon-user: {serial}", *lines)


class Caller:
    """A client by hand, which hangs up when it is left: with a FIN, or with a reset."""

    def __init__(self, gateway, rudely):
        address = urllib.parse.urlsplit(gateway.url)
        self.socket = socket.create_connection((address.hostname, address.port), PATIENCE_S)
        self.rudely, self.heard = rudely, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.rudely:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def say(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)

    def hear(self, word):
        """Reads up to a word, which must come."""
        while word not in self.heard:
            piece = self.socket.recv(65536)
            assert piece, self.heard
            self.heard += piece

    def say_event(self, event):
        """One text frame; with a mask of zeros, which masks nothing."""
        text = json.dumps(event).encode()
        self.say(struct.pack("!BBH4x", 0x81, 0xFE, len(text)), text)

    def turn(self, serial):
        asked = {"output_modalities": ["text"], "instructions": f"serial:{serial}"}
        self.say_event({"type": "response.create", "response": asked})


def connected(caller, openai, serial):
    """Nothing was said."""


def in_the_head(caller, openai, serial):
    caller.say(speech(serial)[0][:40])


def behind_the_head(caller, openai, serial):
    caller.say(upload(serial)[0])


def in_the_upload(caller, openai, serial):
    form, body = upload(serial)
    caller.say(form, body[: len(body) // 2])
    # The provider is asked while the file still arrives.


def waiting(caller, openai, serial):
    caller.say(*speech(serial, "script:delay_ms=300"))
    wait_for(lambda: serial in serials(openai))


def at_the_first_byte(caller, openai, serial):
    caller.say(*speech(serial, "script:bytes=400000 script:chunk_bytes=4000 script:chunk_ms=5"))
    caller.hear(b"HTTP/1.1 200")


def in_mid_stream(caller, openai, serial):
    at_the_first_byte(caller, openai, serial)
    while len(caller.heard) < 100_000:
        caller.heard += caller.socket.recv(65536)


def in_the_handshake(caller, openai, serial):
    caller.say(handshake(serial)[:60])


def behind_the_handshake(caller, openai, serial):
    caller.say(handshake(serial))


def before_the_first_turn(caller, openai, serial):
    caller.say(handshake(serial))
    caller.hear(b"session.created")


def in_a_turn(caller, openai, serial):
    before_the_first_turn(caller, openai, serial)
    caller.turn(f"{serial}-0")
    wait_for(lambda: f"{serial}-0" in serials(openai))


def after_the_first_turn(caller, openai, serial):
    before_the_first_turn(caller, openai, serial)
    caller.turn(f"{serial}-0")
    caller.hear(b"response.done")


BILLED = {waiting, at_the_first_byte, in_mid_stream}
TURNS = {in_a_turn, after_the_first_turn}
PHASES = [
    connected, in_the_head, behind_the_head, in_the_upload, waiting, at_the_first_byte, in_mid_stream,
    in_the_handshake, behind_the_handshake, before_the_first_turn, in_a_turn, after_the_first_turn,
]  # fmt: skip


def serials(openai):
    return openai._control("GET", "/_counts").get("serials", {})


def test_a_client_that_hangs_up_anywhere_holds_nothing_and_pays_for_what_the_provider_had(openai, tmp_path):
    gateway = Faulty(tmp_path, openai, more=MORE)
    expected = set()
    for number, (phase, rudely) in enumerate((phase, rudely) for phase in PHASES for rudely in (False, True)):
        serial = str(number + 1)
        with Caller(gateway, rudely) as caller:
            phase(caller, openai, serial)
        if phase in BILLED | TURNS:
            expected.add(f"{serial}-0" if phase in TURNS else serial)
        gateway.until(lambda told: told["sessions"] == 0)
        wait_for(lambda: gateway.spent(NARROW)[1] == 0)
    gateway.delivered()
    found = rows(tmp_path)
    assert len(found) == len(expected), "once"
    found = {serial_of(row): row for row in found}
    assert set(found) == expected and expected <= set(serials(openai)), "what the provider had whole, and nothing else"
    assert gateway.spent(NARROW)[0] == sum(row["cost_nano_usd"] for row in found.values())
    fates = serials(openai)
    for serial in expected:
        fate = fates[serial]
        assert found[serial]["cost_nano_usd"] == cost_of(fate["path"], fate["accepted"]), serial
    with contextlib.ExitStack() as callers:
        for number in range(SESSIONS):
            before_the_first_turn(callers.enter_context(Caller(gateway, rudely=False)), openai, f"last{number}")
    assert gateway.stop(signal.SIGTERM) == 0
    assert "panicked" not in gateway.log.read_text()
