"""`client.realtime.connect` and `client.realtime.client_secrets`."""

import base64

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

import conftest
from conftest import SENTENCE
from realtime import append, transcription_session, until

REPLY = "Hello from the scripted upstream."
SECOND = bytes(48_000)
INTENT = {"intent": "transcription"}


def joined(events, kind):
    return "".join(event.delta for event in events if event.type == kind)


@pytest.mark.parametrize("model", ["openai/gpt-realtime-2.1", "azure/gpt-realtime-2.1", "talk", "own/voice-model"])
def test_a_turn_of_text_and_one_of_audio(client, model):
    with client.realtime.connect(model=model) as session:
        created = session.recv()
        assert created.type == "session.created"
        assert created.session.model == model, "a client sees the name that it asked for"

        session.session.update(session={"type": "realtime", "output_modalities": ["text"]})
        assert until(session, "session.updated")[-1].session.output_modalities == ["text"]
        session.conversation.item.create(
            item={"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
        )
        session.response.create()
        events = until(session, "response.done")
        assert joined(events, "response.output_text.delta") == REPLY
        assert events[-1].response.status == "completed"

        session.session.update(session={"type": "realtime", "output_modalities": ["audio"]})
        append(session, SECOND)
        session.input_audio_buffer.commit()
        until(session, "input_audio_buffer.committed")
        session.response.create()
        events = until(session, "response.done")
        audio = [base64.b64decode(event.delta) for event in events if event.type == "response.output_audio.delta"]
        assert len(b"".join(audio)) == 48_000
        assert joined(events, "response.output_audio_transcript.delta") == REPLY
        assert events[-1].response.usage.input_token_details.audio_tokens == 10


def test_the_provider_sees_its_own_names_only(client, upstreams):
    with client.realtime.connect(model="talk") as session:
        session.recv()
    seen = upstreams["azure"].requests()[-1]
    assert seen["path"] == "/openai/v1/realtime"
    assert seen["query"] == "model=our-realtime"
    headers = dict(seen["headers"])
    assert headers["api-key"] == "sk-upstream" and "authorization" not in headers


def test_interruption(client, upstreams):
    upstreams["openai"].script("realtime", chunk_ms=50)
    with client.realtime.connect(model="openai/gpt-realtime-2.1") as session:
        session.response.create()
        until(session, "response.output_audio.delta")
        session.response.cancel()
        done = until(session, "response.done")[-1]
        assert done.response.status == "cancelled"


def test_errors_are_events(client):
    with client.realtime.connect(model="openai/gpt-realtime-2.1") as session:
        session.response.cancel()
        assert until(session, "error")[-1].error.code == "response_cancel_not_active"
        session.session.update(session={"type": "realtime", "model": "gpt-realtime-mini"})
        assert until(session, "error")[-1].error.code == "model_not_allowed"


def test_input_transcription_beside_a_conversation(client):
    with client.realtime.connect(model="openai/gpt-realtime-2.1") as session:
        session.session.update(
            session={"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-mini-transcribe"}}}}
        )
        until(session, "session.updated")
        append(session, SECOND)
        session.input_audio_buffer.commit()
        done = until(session, "conversation.item.input_audio_transcription.completed")[-1]
        assert done.transcript == SENTENCE


@pytest.mark.parametrize("model", ["openai/gpt-4o-transcribe", "openai/gpt-realtime-whisper", "azure/gpt-4o-transcribe"])
def test_transcription_session(client, model):
    with client.realtime.connect(extra_query=INTENT) as session:
        assert session.recv().type == "session.created"
        session.session.update(session=transcription_session(model))
        updated = until(session, "session.updated")[-1]
        assert updated.session.audio.input.transcription.model == model
        append(session, SECOND)
        session.input_audio_buffer.commit()
        events = until(session, "conversation.item.input_audio_transcription.completed")
        assert joined(events, "conversation.item.input_audio_transcription.delta") == SENTENCE
        assert events[-1].transcript == SENTENCE


def test_transcription_session_with_its_model_in_the_query(client, upstreams):
    with client.realtime.connect(model="openai/gpt-4o-transcribe", extra_query=INTENT) as session:
        assert session.recv().type == "session.created"
        session.session.update(session={"type": "transcription", "audio": {"input": {"turn_detection": None}}})
        updated = until(session, "session.updated")[-1]
        assert updated.session.audio.input.transcription.model == "openai/gpt-4o-transcribe"
    assert upstreams["openai"].requests()[-1]["query"] == "intent=transcription", "OpenAI refuses a model there"


def test_local_transcription_session(client, local_speech):
    with client.realtime.connect(extra_query=INTENT) as session:
        session.session.update(session=transcription_session("local/pocketsphinx", turn_detection=None))
        until(session, "session.updated")
        append(session, local_speech("This is a test of the speech system."))
        session.input_audio_buffer.commit()
        events = until(session, "conversation.item.input_audio_transcription.completed")
        assert "test" in events[-1].transcript


def test_local_notices_when_somebody_speaks(client, local_speech):
    with client.realtime.connect(extra_query=INTENT) as session:
        session.session.update(
            session=transcription_session("local/pocketsphinx", turn_detection={"type": "server_vad"})
        )
        until(session, "session.updated")
        append(session, SECOND + local_speech("This is a test of the speech system.") + SECOND)
        events = until(session, "conversation.item.input_audio_transcription.completed")
        kinds = [event.type for event in events]
        started = kinds.index("input_audio_buffer.speech_started")
        stopped = kinds.index("input_audio_buffer.speech_stopped")
        assert started < stopped < kinds.index("input_audio_buffer.committed")
        assert "test" in events[-1].transcript


@pytest.mark.parametrize(
    ("key", "model", "status"),
    [
        ("sk-ap-nobody-has-this-key", "openai/gpt-realtime-2.1", 401),
        (conftest.ONLY_SPEECH, "openai/gpt-realtime-2.1", 403),
        (conftest.ONLY_TTS_1, "openai/gpt-realtime-2.1", 403),
        (conftest.KEY, "no-such-model", 404),
        (conftest.NO_MONEY, "openai/gpt-realtime-2.1", 429),
    ],
)
def test_what_is_refused_before_the_upgrade(gateway, key, model, status):
    with gateway.client(key) as client, pytest.raises(InvalidStatus) as failed:
        client.realtime.connect(model=model).enter()
    assert failed.value.response.status_code == status


def test_client_secret_opens_its_model_and_no_other(gateway, client):
    model = "openai/gpt-realtime-2.1"
    secret = client.realtime.client_secrets.create(
        session={"type": "realtime", "model": model}, expires_after={"anchor": "created_at", "seconds": 60}
    )
    assert secret.value.startswith("ek-ap-")
    with gateway.client(secret.value) as browser:
        with browser.realtime.connect(model=model) as session:
            assert session.recv().type == "session.created"
        with pytest.raises(InvalidStatus) as failed:
            browser.realtime.connect(model="azure/gpt-realtime-2.1").enter()
        assert failed.value.response.status_code == 403
        with pytest.raises(conftest.openai.PermissionDeniedError):
            browser.audio.speech.create(model="openai/tts-1", voice="alloy", input="Hello.")
        with pytest.raises(conftest.openai.PermissionDeniedError):
            browser.models.list()


def test_client_secret_of_a_transcription_session(gateway, client):
    secret = client.realtime.client_secrets.create(session=transcription_session("openai/gpt-4o-transcribe"))
    with gateway.client(secret.value) as browser, browser.realtime.connect(extra_query=INTENT) as session:
        session.session.update(session=transcription_session("openai/gpt-4o-transcribe"))
        until(session, "session.updated")


def test_the_provider_ends_the_session(client, upstreams):
    upstreams["openai"].script("realtime", close_ws={"code": 1001, "reason": "bye", "after_frames": 1})
    with client.realtime.connect(model="openai/gpt-realtime-2.1") as session:
        session.response.create()
        with pytest.raises(ConnectionClosed) as ended:
            while True:
                session.recv()
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "bye"), "the provider's own words"
