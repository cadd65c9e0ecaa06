"""What happens to those who are connected: keys come and go, limits are met, the gateway stops."""

import json
import signal
import subprocess
import threading
from decimal import Decimal

import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import conftest
from conftest import Gateway, binary, wait_for
from realtime import until

VOICE_MODEL = "openai/gpt-realtime-2.1"
HELLO = {"model": "openai/tts-1", "voice": "alloy", "input": "Hello."}


def key(folder, *arguments):
    """Runs `antiphon key …` beside the running gateway."""
    command = [binary("antiphon"), "key", *arguments, "--json", "--config", "antiphon.yaml"]
    return json.loads(subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout)


def made(gateway, folder, *policy):
    """A new key and a client with it, once the running gateway knows it."""
    created = key(folder, "create", "--tenant", "acme", "--name", "made", *policy)
    client = gateway.client(created["key"])

    def known():
        try:
            return client.models.list()
        except openai.AuthenticationError:
            return None

    wait_for(known)
    return created, client


def last_words(session):
    """Events up to the end of the session, and the close frame."""
    events = []
    with pytest.raises(ConnectionClosed) as ended:
        while True:
            events.append(session.recv())
    return events, ended.value.rcvd


def test_a_revoked_key_is_refused_and_its_session_ends(gateway, folder):
    created, client = made(gateway, folder)
    assert created["key"].startswith("sk-ap-")
    with client, client.realtime.connect(model=VOICE_MODEL) as session:
        until(session, "session.created")
        key(folder, "revoke", created["id"])
        events, close = last_words(session)
        assert events[-1].type == "error"
        assert close.code == 1008
        with pytest.raises(openai.AuthenticationError):
            client.audio.speech.create(**HELLO)


def test_as_many_sessions_as_the_key_may_hold(gateway, folder):
    _, client = made(gateway, folder, "--sessions", "1")
    with client:
        with client.realtime.connect(model=VOICE_MODEL) as session:
            until(session, "session.created")
            with pytest.raises(InvalidStatus) as failed:
                client.realtime.connect(model=VOICE_MODEL).enter()
            assert failed.value.response.status_code == 429
            assert json.loads(failed.value.response.body)["error"]["code"] == "session_limit_exceeded"

        def free_again():
            try:
                return client.realtime.connect(model=VOICE_MODEL).enter()
            except InvalidStatus:
                return None

        wait_for(free_again).close()


def test_a_session_ends_when_the_budget_is_spent(gateway, folder):
    """A turn costs about a cent and a half here; the budget takes a few of them."""
    _, client = made(gateway, folder, "--budget-usd", "0.1")
    with client, client.realtime.connect(model=VOICE_MODEL) as session:
        until(session, "session.created")
        turns = 0
        with pytest.raises(ConnectionClosed) as ended:
            while turns < 1000:
                session.response.create()
                event = until(session, "response.done", "error")[-1]
                if event.type == "error":
                    assert event.error.code == "budget_exceeded"
                    session.recv()
                turns += 1
        assert turns > 1
        assert ended.value.rcvd.code == 1008
        with pytest.raises(InvalidStatus) as failed:
            client.realtime.connect(model=VOICE_MODEL).enter()
        assert failed.value.response.status_code == 429
        usage = client.get("/usage", cast_to=object)
        assert 0 < Decimal(usage["spent_usd"]) <= Decimal("0.1"), "never more than the budget"


def test_a_file_over_the_limit(client):
    """The answer comes before the rest of the file is read, and still reaches the SDK."""
    file = ("long.wav", conftest.wav_of(bytes(30 * 1024 * 1024), 16000), "audio/wav")
    with pytest.raises(openai.APIStatusError) as failed:
        client.audio.transcriptions.create(model="openai/whisper-1", file=file)
    assert failed.value.status_code == 413
    assert failed.value.code == "file_too_large"


def test_a_stopped_gateway_says_so_and_finishes_what_it_began(tmp_path, all_upstreams):
    gateway = Gateway(tmp_path, all_upstreams)
    with gateway.client() as client, client.realtime.connect(model=VOICE_MODEL) as session:
        until(session, "session.created")
        slow = "script:bytes=40000 script:chunk_bytes=1000 script:chunk_ms=25"
        with client.audio.speech.with_streaming_response.create(**(HELLO | {"input": slow})) as answer:
            pieces = answer.iter_bytes(chunk_size=1000)
            heard = len(next(pieces))
            stopping = threading.Thread(target=gateway.stop, args=(signal.SIGTERM,))
            stopping.start()
            events, close = last_words(session)
            heard += sum(len(piece) for piece in pieces)
        assert events[-1].type == "error" and events[-1].error.code == "server_draining"
        assert close.code == 1001
        assert heard == 40_000, "speech that was under way is heard to its end"
    stopping.join()
    assert gateway.process.returncode == 0
