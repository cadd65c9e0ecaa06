"""`client.audio.transcriptions` and `.translations` at every provider."""

import pytest

from conftest import SENTENCE

SCRIPTED = ["openai/whisper-1", "azure/whisper", "groq/whisper-large-v3", "own/whisper-small"]
STREAMING = ["openai/gpt-4o-transcribe", "azure/gpt-4o-mini-transcribe", "own/whisper-small"]
LOCAL = "local/pocketsphinx"


@pytest.mark.parametrize("model", SCRIPTED)
def test_json(client, tone, model):
    answer = client.audio.transcriptions.create(model=model, file=tone)
    assert answer.text.strip() == SENTENCE


@pytest.mark.parametrize("model", SCRIPTED)
def test_text(client, tone, model):
    answer = client.audio.transcriptions.create(model=model, file=tone, response_format="text")
    assert answer.strip() == SENTENCE


@pytest.mark.parametrize("model", SCRIPTED)
def test_verbose_json_with_words(client, tone, model):
    answer = client.audio.transcriptions.create(
        model=model, file=tone, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    assert answer.text.strip() == SENTENCE
    assert answer.duration == pytest.approx(2.5)
    assert [word.word for word in answer.words] == SENTENCE.split()
    assert answer.words[0].start == 0 and answer.words[-1].end <= 2.5
    assert answer.segments[-1].end == pytest.approx(2.5)


@pytest.mark.parametrize("model", SCRIPTED)
def test_srt(client, tone, model):
    answer = client.audio.transcriptions.create(model=model, file=tone, response_format="srt")
    assert answer.startswith("1\n00:00:00,000 --> 00:00:01,250\n")
    assert "2\n00:00:01,250 --> 00:00:02,500\n" in answer


@pytest.mark.parametrize("model", SCRIPTED)
def test_vtt(client, tone, model):
    answer = client.audio.transcriptions.create(model=model, file=tone, response_format="vtt")
    assert answer.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.250\n")


@pytest.mark.parametrize("model", STREAMING)
def test_stream(client, tone, model):
    events = list(client.audio.transcriptions.create(model=model, file=tone, stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) > 1, "the text comes in pieces"
    assert "".join(deltas).strip() == SENTENCE
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text.strip() == SENTENCE


@pytest.mark.parametrize("model", ["openai/whisper-1", "groq/whisper-large-v3"])
def test_stream_where_the_provider_has_none(client, tone, model):
    """OpenAI's own API ignores `stream` for whisper-1; a client gets its events all the same."""
    events = list(client.audio.transcriptions.create(model=model, file=tone, stream=True))
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text.strip() == SENTENCE


def test_route_by_name_says_who_served(client, tone):
    answer = client.audio.transcriptions.with_raw_response.create(model="stt", file=tone)
    assert answer.headers["x-antiphon-provider"] == "openai"
    assert answer.headers["x-antiphon-model"] == "whisper-1"
    assert answer.parse().text.strip() == SENTENCE


def test_failover_to_the_next_target(client, upstreams, tone):
    upstreams["openai"].script("audio/transcriptions", status=503)
    answer = client.audio.transcriptions.with_raw_response.create(model="stt", file=tone)
    assert answer.headers["x-antiphon-provider"] == "groq"
    assert answer.headers["x-antiphon-attempts"] == "2"


def test_fields_reach_the_provider(client, upstreams, tone):
    client.audio.transcriptions.create(
        model="openai/whisper-1", file=tone, language="en", prompt="Foxes and dogs", temperature=0.2
    )
    fields = dict(upstreams["openai"].requests()[-1]["fields"])
    assert fields["model"] == "whisper-1"
    assert (fields["language"], fields["prompt"], fields["temperature"]) == ("en", "Foxes and dogs", "0.2")


def test_diarized_json(client, tone):
    answer = client.audio.transcriptions.create(
        model="openai/gpt-4o-transcribe-diarize", file=tone, response_format="diarized_json", chunking_strategy="auto"
    )
    assert [segment.speaker for segment in answer.segments] == ["A", "B"]


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt"])
def test_local(client, spoken, response_format):
    answer = client.audio.transcriptions.create(model=LOCAL, file=spoken, response_format=response_format)
    text = answer if isinstance(answer, str) else answer.text
    assert "test" in text
    assert {"srt": ",", "vtt": "WEBVTT"}.get(response_format, "") in text


def test_local_verbose_json_with_words(client, spoken):
    answer = client.audio.transcriptions.create(
        model=LOCAL, file=spoken, response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert "test" in [word.word for word in answer.words]
    ends = [word.end for word in answer.words]
    assert ends == sorted(ends) and ends[-1] <= answer.duration + 0.1


def test_local_stream(client, spoken):
    events = list(client.audio.transcriptions.create(model=LOCAL, file=spoken, stream=True))
    assert events[-1].type == "transcript.text.done"
    assert "test" in events[-1].text


@pytest.mark.parametrize("model", ["openai/whisper-1", "azure/whisper", "groq/whisper-large-v3", "own/whisper-small"])
def test_translation(client, upstreams, tone, model):
    answer = client.audio.translations.create(model=model, file=tone)
    assert answer.text.strip() == SENTENCE
    kind = {"own": "self-hosted"}.get(model.split("/")[0], model.split("/")[0])
    assert upstreams[kind].requests()[-1]["path"].endswith("audio/translations")
