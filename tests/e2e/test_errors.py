"""Failures come as the SDK's own exceptions, with OpenAI's body."""

import json
import socket

import openai
import pytest
from websockets.exceptions import InvalidStatus

import conftest

HELLO = {"model": "openai/tts-1", "voice": "alloy", "input": "Hello."}


@pytest.mark.parametrize("key", ["sk-ap-nobody-has-this-key", "sk-upstream"])
def test_unknown_key(gateway, key):
    with gateway.client(key) as client, pytest.raises(openai.AuthenticationError) as failed:
        client.audio.speech.create(**HELLO)
    assert failed.value.code == "invalid_api_key"
    assert key not in str(failed.value)


def test_unknown_model(client):
    with pytest.raises(openai.NotFoundError) as failed:
        client.audio.speech.create(model="no-such-model", voice="alloy", input="Hello.")
    assert failed.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


def test_operation_that_the_key_lacks(gateway):
    with gateway.client(conftest.ONLY_SPEECH) as client:
        assert client.audio.speech.create(**HELLO).content
        with pytest.raises(openai.PermissionDeniedError) as failed:
            client.chat.completions.create(model="openai/gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
    assert failed.value.code == "operation_not_allowed"


def test_model_that_the_key_lacks(gateway):
    with gateway.client(conftest.ONLY_TTS_1) as client:
        assert client.audio.speech.create(**HELLO).content
        with pytest.raises(openai.PermissionDeniedError) as failed:
            client.audio.speech.create(**(HELLO | {"model": "openai/gpt-4o-mini-tts"}))
    assert failed.value.code == "model_not_allowed"


def test_too_many_requests(gateway):
    with gateway.client(conftest.ONE_A_MINUTE) as client:
        first = client.audio.speech.with_raw_response.create(**HELLO)
        assert first.headers["x-ratelimit-limit-requests"] == "1"
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError) as failed:
            client.audio.speech.create(**HELLO)
    assert failed.value.code == "rate_limit_exceeded"
    assert 0 < int(failed.value.response.headers["retry-after"]) <= 60


def test_spent_budget(gateway):
    with gateway.client(conftest.NO_MONEY) as client, pytest.raises(openai.RateLimitError) as failed:
        client.audio.speech.create(**HELLO)
    assert failed.value.code == "budget_exceeded"


def test_bad_field(client):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.speech.create(**(HELLO | {"speed": 99.0}))
    assert failed.value.param == "speed"


def test_missing_field(client):
    with pytest.raises(openai.BadRequestError) as failed:
        client.post("/audio/speech", body={"model": "openai/tts-1", "voice": "alloy"}, cast_to=object)
    assert (failed.value.code, failed.value.param) == ("invalid_request", "input")


@pytest.mark.parametrize(
    ("status", "exception"),
    [(429, openai.RateLimitError), (500, openai.InternalServerError), (401, openai.InternalServerError)],
)
def test_what_the_provider_refuses(client, upstreams, status, exception):
    """A provider that refuses the gateway's own credential is a 502, never the client's 401."""
    upstreams["openai"].script("chat/completions", times=10, status=status)
    with pytest.raises(exception) as failed:
        client.chat.completions.create(model="openai/gpt-4o-mini", messages=[{"role": "user", "content": "Hi"}])
    assert failed.value.status_code == (429 if status == 429 else 502)
    assert "sk-upstream" not in str(failed.value)


def test_what_is_not_audio(client):
    with pytest.raises(openai.APIStatusError) as failed:
        client.audio.transcriptions.create(model="local/pocketsphinx", file=("a.wav", b"not audio at all" * 100))
    assert failed.value.status_code == 415
    assert failed.value.code == "unsupported_audio"


def test_too_many_sessions(gateway):
    with gateway.client(conftest.ONE_SESSION) as client, client.realtime.connect(model="openai/gpt-realtime-2.1"):
        with pytest.raises(InvalidStatus) as failed:
            client.realtime.connect(model="openai/gpt-realtime-2.1").enter()
    answer = failed.value.response
    assert answer.status_code == 429
    assert json.loads(answer.body)["error"]["code"] == "session_limit_exceeded"
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("path", ["/audio/speech", "/audio/transcriptions"])
def test_an_encoded_body(client, path):
    with pytest.raises(openai.APIStatusError) as failed:
        client.post(path, body=HELLO, options={"headers": {"content-encoding": "gzip"}}, cast_to=object)
    assert (failed.value.status_code, failed.value.code) == (415, "unsupported_audio")


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        ("GET /v1/models HTTP/1.1\nHost: x\n\n", 400, "invalid_request"),
        ("GET /v1/models HTTP/1.1\r\nHost: x\r\nx-a: 1\r\n 2\r\n\r\n", 400, "invalid_request"),
        ("POST /v1/models HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "invalid_request"),
        ("GET /v1/models HTTP/1.1\r\nHost: x\r\nx-long: " + "a" * 70_000 + "\r\n\r\n", 431, "invalid_request"),
    ],
    ids=["bare line feed", "folded line", "two lengths", "too long"],
)
def test_heads_that_are_not_http(gateway, head, status, code):
    """Refused with the same body as everything else, and the connection is closed."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(head.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    lines, body = answer.split("\r\n\r\n", 1)
    assert lines.startswith(f"HTTP/1.1 {status} ")
    assert "connection: close" in lines
    assert json.loads(body)["error"]["code"] == code


def test_a_file_under_a_strange_name(client, upstreams, tone):
    """A client's file name is nothing but a name to the provider."""
    _, content, kind = tone
    name = '../../etc/"passwd";\r\nX-Evil: 1 名前.wav'
    assert client.audio.transcriptions.create(model="openai/whisper-1", file=(name, content, kind)).text
    seen = upstreams["openai"].requests()[-1]
    assert seen["file"]["name"].endswith("名前.wav")
    assert not {"/", '"', "\r", "\n", ";"} & set(seen["file"]["name"])
    assert [field for field, _ in seen["fields"]].count("model") == 1


def test_nothing_at_this_path(client):
    with pytest.raises(openai.NotFoundError):
        client.get("/no/such/path", cast_to=object)
