"""Ultravox's own client SDK, unchanged: its join socket passes through the gateway, its sound goes to a room.

The room is `ultravox/room.py`, which LiveKit's native library inside the SDK takes for LiveKit's server. The two
meet at an address of this machine that is not the loopback's, since WebRTC offers no other.
"""

import json
import pathlib
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request

import pytest

import conftest
from conftest import IN_A_ROOM, PATIENCE_S, wait_for
from specs import Spec

SCRIPTS = pathlib.Path(__file__).with_name("ultravox")
# The SDK's own Python: see `ultravox/requirements.txt`.
SDK = conftest.ROOT / ".venv/ultravox/bin/python"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.room-of-one-call.signed"


@pytest.fixture
def room(folder, upstreams):
    """A scripted LiveKit room to which the scripted Ultravox leads."""
    program = conftest.Program([sys.executable, SCRIPTS / "room.py", TOKEN], folder, "room")
    upstreams["ultravox"].lead_to(program.url, TOKEN)
    yield program
    program.stop(signal.SIGKILL)


def make_call(gateway):
    headers = {"X-API-Key": IN_A_ROOM, "Content-Type": "application/json"}
    body = json.dumps({"systemPrompt": "Be brief."}).encode()
    asked = urllib.request.Request(f"{gateway.url}/ultravox/api/calls", body, headers)
    with urllib.request.urlopen(asked) as answer:
        return json.load(answer)


def written(folder):
    """The records of the key that this test alone has."""
    told = "select operation, provider, model_served, status, usage_source, audio_in_ms, cost_nano_usd" \
        " from usage_records join virtual_keys on virtual_keys.id = key_id where virtual_keys.name = 'room'"
    with sqlite3.connect(folder / "data" / "antiphon.db") as database:
        return database.execute(told).fetchall() or None


@pytest.mark.skipif(all(name == "lo" for _, name in socket.if_nameindex()), reason="WebRTC needs another address")
def test_a_conversation_in_a_room(folder, gateway, upstreams, room):
    call = make_call(gateway)
    assert call["maxDuration"] == "60s", "what is left of the budget pays for a minute"
    command = [SDK, SCRIPTS / "talk.py", call["joinUrl"]]
    talk = subprocess.run(command, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
    assert talk.returncode == 0, talk.stderr
    told = json.loads(talk.stdout)
    turn = ["THINKING", "SPEAKING", "LISTENING"]
    assert told["statuses"] == ["CONNECTING", "IDLE", "LISTENING", *turn, *turn, "DISCONNECTING", "DISCONNECTED"]
    reply = ["agent", "voice", "Hello from the scripted room."]
    assert told["transcripts"] == [["user", "voice", "somebody spoke"], reply, ["user", "text", "Good bye."], reply]
    # Half a second each way, of which a codec may take the edges.
    assert told["loud_ms"] >= 300 and told["closed"]
    [seen] = [json.loads(line) for line in wait_for(lambda: room.out.read_text().splitlines()[1:] or None)]
    assert seen["loud_ms"] >= 300 and seen["left"]
    assert seen["messages"] == [{"type": "input_text_message", "text": "Good bye."}]

    # The call still ran at Ultravox, which does not see the room here: it was hung up, and then billed.
    assert wait_for(lambda: written(folder)) == [
        ("realtime", "ultravox", "ultravox-v0.7", "ok", "reported", 6_000, 5_000_000)
    ]
    asked = [request for request in upstreams["ultravox"].requests() if call["callId"] in request["path"]]
    assert [request["json"] for request in asked if request["method"] == "POST"] == [{"type": "hang_up"}]
    assert Spec("ultravox").problems(upstreams["ultravox"].requests()) == []
    assert TOKEN not in gateway.log.read_text(), "the room's token is the client's"
