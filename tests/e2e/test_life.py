"""What happens to those who are connected: keys come and go, limits are met, the gateway stops."""

import json
import signal
import subprocess
import threading
from decimal import Decimal

import httpx2
import openai
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import conftest
from conftest import PATIENCE_S, Gateway, binary, recorded, wait_for
from realtime import until

VOICE_MODEL = "openai/gpt-realtime-2.1"
LONG_BYTES = 32 * 1024 * 1024
LONG = f"script:bytes={LONG_BYTES}"
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


def stopping(gateway):
    """Sends SIGTERM, and gives the thread that waits for the end."""
    ended = threading.Thread(target=gateway.stop, args=(signal.SIGTERM,))
    ended.start()

    def draining():
        answer = httpx2.get(gateway.url + "/readyz", timeout=PATIENCE_S)
        return answer if answer.status_code == 503 else None

    assert wait_for(draining).json()["draining"] is True
    return ended


def test_a_stopped_gateway_says_so_and_finishes_what_it_began(tmp_path, all_upstreams):
    gateway = Gateway(tmp_path, all_upstreams, "timeouts: { drain: 12s }\n")
    with (
        gateway.client() as client,
        httpx2.Client(base_url=gateway.url, timeout=PATIENCE_S) as used,
        client.realtime.connect(model=VOICE_MODEL) as session,
    ):
        until(session, "session.created")
        assert used.get("/healthz").headers.get("connection") is None
        # So long that most of it waits with the provider until it is read here.
        with client.audio.speech.with_streaming_response.create(**(HELLO | {"input": LONG})) as answer:
            pieces = answer.iter_bytes(chunk_size=65536)
            heard = len(next(pieces))
            ended = stopping(gateway)
            assert used.get("/healthz").headers["connection"] == "close"
            assert httpx2.get(gateway.url + "/healthz", timeout=PATIENCE_S).status_code == 200, "it lives"
            with gateway.client() as late, pytest.raises(openai.InternalServerError) as refused:
                late.audio.speech.create(**HELLO)
            assert (refused.value.status_code, refused.value.code) == (503, "overloaded")
            assert int(refused.value.response.headers["retry-after"]) >= 1
            with gateway.client() as late, pytest.raises(InvalidStatus) as refused:
                late.realtime.connect(model=VOICE_MODEL).enter()
            assert refused.value.response.status_code == 503
            heard += sum(len(piece) for piece in pieces)
        events, close = last_words(session)
        assert events[-1].type == "error" and events[-1].error.code == "server_draining"
        assert close.code == 1001
        assert heard == LONG_BYTES, "speech that was under way is heard to its end"
    ended.join()
    assert gateway.process.returncode == 0
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(gateway.url + "/healthz")
    assert "panicked" not in gateway.log.read_text()


def test_what_does_not_end_in_time_is_cut(tmp_path, all_upstreams):
    gateway = Gateway(tmp_path, all_upstreams, "timeouts: { drain: 1s }\n")
    with gateway.client() as client:
        with client.audio.speech.with_streaming_response.create(**(HELLO | {"input": LONG})) as answer:
            pieces = answer.iter_bytes(chunk_size=65536)
            assert next(pieces)
            request = answer.headers["x-request-id"]
            stopping(gateway).join()
            assert gateway.process.returncode == 0
            with pytest.raises(httpx2.HTTPError):
                for _ in pieces:
                    pass
    again = Gateway(tmp_path, all_upstreams)
    with again.client() as client:
        record = recorded(client, request)[0]
        assert record["status"] == "ended_by_policy"
        assert Decimal(record["cost_usd"]) > 0, "what was delivered is billed"
    assert again.stop(signal.SIGTERM) == 0
