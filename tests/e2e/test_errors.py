"""Failures come as the SDK's own exceptions, with OpenAI's body."""

import openai
import pytest

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


def test_nothing_at_this_path(client):
    with pytest.raises(openai.NotFoundError):
        client.get("/no/such/path", cast_to=object)
