"""Deepgram behind OpenAI's API: every request that reached it is what its specification knows."""

import base64
import json
import urllib.parse
import zlib
from decimal import Decimal

import openai
import pytest

from conftest import HELLO, SENTENCE
from test_usage import nano, records

NOVA = "deepgram/nova-3"
AURA = "deepgram/aura-2"
FIRST, SECOND = "The quick brown fox", "jumps over the lazy dog."


@pytest.fixture
def upstream(upstreams):
    return upstreams["deepgram"]


def last_options(upstream):
    """The options of the newest request, each with all its values."""
    return urllib.parse.parse_qs(upstream.requests()[-1]["query"], strict_parsing=True)


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt", "verbose_json", "diarized_json"])
def test_transcript(client, upstream, tone, response_format):
    answer = client.audio.transcriptions.create(model=NOVA, file=tone, response_format=response_format)
    if response_format == "srt":
        assert answer.startswith("1\n00:00:00,000 --> ") and f"\n{FIRST}" in answer and SECOND in answer
    elif response_format == "vtt":
        assert answer.startswith("WEBVTT\n\n00:00:00.000 --> ") and SECOND in answer
    else:
        assert (answer if response_format == "text" else answer.text).strip() == SENTENCE
    if response_format == "diarized_json":
        assert [segment.speaker for segment in answer.segments] == ["A", "B"]
        assert " ".join(segment.text for segment in answer.segments) == SENTENCE
        assert answer.duration == pytest.approx(2.5)
    if response_format == "verbose_json":
        assert (answer.language, answer.duration) == ("english", pytest.approx(2.5))
        assert answer.segments[0].start == 0 and answer.segments[-1].end == pytest.approx(2.5, abs=0.01)
    options = last_options(upstream)
    assert (options["model"], options["smart_format"], options["detect_language"]) == (["nova-3"], ["true"], ["true"])
    assert ("utterances" in options) == (response_format not in ("json", "text"))
    assert options.get("diarize_model") == (["latest"] if response_format == "diarized_json" else None)


def test_the_file_is_the_body_as_it_was_sent(client, upstream, tone):
    client.audio.transcriptions.create(model=NOVA, file=("unknown.bin", tone[1], "application/octet-stream"))
    request = upstream.requests()[-1]
    assert (request["method"], request["path"]) == ("POST", "/v1/listen")
    assert request["file"]["content_type"] == "audio/wav", "what it is, not what it was called"
    assert (request["file"]["bytes"], request["file"]["crc32"]) == (len(tone[1]), zlib.crc32(tone[1]))
    assert dict(request["headers"])["authorization"] == "Token sk-upstream"


def test_words_language_and_key_terms(client, upstream, tone):
    answer = client.audio.transcriptions.create(
        model=NOVA, file=tone, language="german", response_format="verbose_json", timestamp_granularities=["word"],
        temperature=0, extra_body={"keywords": ["Antiphon & Co", "lazy dog"]},
    )
    assert [word.word for word in answer.words] == SENTENCE.split()
    assert answer.language == "german"
    options = last_options(upstream)
    assert options["language"] == ["de"] and "detect_language" not in options
    assert options["keyterm"] == ["Antiphon & Co", "lazy dog"]


@pytest.mark.parametrize("response_format", ["json", "diarized_json"])
def test_stream(client, tone, response_format):
    events = list(
        client.audio.transcriptions.create(model=NOVA, file=tone, stream=True, response_format=response_format)
    )
    assert events[-1].type == "transcript.text.done" and events[-1].text == SENTENCE
    speakers = [event.speaker for event in events if event.type == "transcript.text.segment"]
    assert speakers == (["A", "B"] if response_format == "diarized_json" else [])


def test_fields_of_the_vendor(client, upstream, tone):
    client.audio.transcriptions.create(
        model=NOVA, file=tone, extra_body={"deepgram": {
            "numerals": True, "replace": ["fox:dog", "a:b"], "tag": "mine", "utt_split": 0.5, "mip_opt_out": True,
        }},
    )
    options = last_options(upstream)
    assert options["replace"] == ["fox:dog", "a:b"] and options["tag"] == ["mine"]
    assert (options["numerals"], options["utt_split"], options["mip_opt_out"]) == (["true"], ["0.5"], ["true"])


@pytest.mark.parametrize(("options", "billed_ms"), [({}, 1000), ({"multichannel": True}, 2000)])
def test_channels_are_billed_each_where_they_are_told_apart(client, two_channels, options, billed_ms):
    answer = client.audio.transcriptions.with_raw_response.create(
        model="deepgram/nova-2", file=two_channels, response_format="verbose_json", extra_body={"deepgram": options}
    )
    assert answer.parse().duration == pytest.approx(1.0)
    [record] = records(client, answer.headers["x-request-id"])
    assert record["usage"]["audio_in_ms"] == billed_ms
    assert Decimal(record["cost_usd"]) == nano(Decimal("0.0043") * billed_ms / 60_000)


@pytest.mark.parametrize(
    ("options", "percent"),
    [
        ({}, 0),
        ({"response_format": "diarized_json"}, 26),
        ({"extra_body": {"keywords": ["fox", "lazy dog"]}}, 17),
        ({"language": "multi"}, 20),
    ],
)
def test_transcription_is_priced_with_what_is_asked_beside_it(client, tone, options, percent):
    answer = client.audio.transcriptions.with_raw_response.create(model=NOVA, file=tone, **options)
    usd = nano(Decimal("0.0077") * Decimal("2.5") / 60 * (100 + percent) / 100)
    assert Decimal(answer.headers["x-antiphon-cost-usd"]) == usd
    [record] = records(client, answer.headers["x-request-id"])
    assert (Decimal(record["cost_usd"]), record["usage_source"]) == (usd, "reported")
    assert record["usage"]["audio_in_ms"] == 2500


def test_a_length_that_is_not_told_is_measured(client, upstream, tone):
    upstream.script("v1/listen", no_usage=True)
    answer = client.audio.transcriptions.with_raw_response.create(
        model=NOVA, file=tone, response_format="diarized_json"
    )
    [record] = records(client, answer.headers["x-request-id"])
    assert (record["usage"]["audio_in_ms"], record["usage_source"]) == (2500, "measured")
    assert Decimal(record["cost_usd"]) == nano(Decimal("0.0077") * Decimal("2.5") / 60 * 126 / 100)


@pytest.mark.parametrize(
    ("model", "options", "param"),
    [
        (NOVA, {"prompt": "A hint"}, "prompt"),
        (NOVA, {"temperature": 0.5}, "temperature"),
        (NOVA, {"include": ["logprobs"]}, "include"),
        (NOVA, {"extra_body": {"known_speaker_names": ["agent"]}}, "known_speaker_names"),
        (NOVA, {"extra_body": {"deepgram": {"callback": "https://example.com"}}}, "deepgram"),
        (NOVA, {"extra_body": {"deepgram": {"numerals": "perhaps"}}}, "deepgram.numerals"),
        ("deepgram/nova-2-medical", {"language": "fr"}, "language"),
        ("deepgram/flux-general-en", {}, "model"),
    ],
)
def test_what_it_lacks_is_refused_by_name(client, tone, model, options, param):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.transcriptions.create(model=model, file=tone, **options)
    assert failed.value.param == param


def test_there_is_no_translation(client, tone):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.translations.create(model=NOVA, file=tone)
    assert failed.value.param == "model" and "translation" in str(failed.value)


@pytest.mark.parametrize(
    ("response_format", "options", "start", "size"),
    [
        ("mp3", {"encoding": "mp3"}, b"\xff\xfb", 6),
        ("opus", {"encoding": "opus", "container": "ogg"}, b"OggS", 4),
        ("aac", {"encoding": "aac"}, b"\xff\xf1", 6),
        ("flac", {"encoding": "flac"}, b"fLaC", 30),
        ("wav", {"encoding": "linear16", "container": "wav", "sample_rate": "24000"}, b"RIFF", 48),
        ("pcm", {"encoding": "linear16", "container": "none", "sample_rate": "24000"}, b"", 48),
    ],
)
def test_speech(client, upstream, response_format, options, start, size):
    with client.audio.speech.with_streaming_response.create(
        model=AURA, voice="thalia", input=HELLO, response_format=response_format, speed=1.2
    ) as answer:
        kinds = {"mp3": "mpeg"}
        assert answer.headers["content-type"] == f"audio/{kinds.get(response_format, response_format)}"
        audio = answer.read()
    assert audio.startswith(start) and len(audio) == len(HELLO) * 60 * size
    asked = upstream.requests()[-1]
    assert (asked["path"], asked["json"]) == ("/v1/speak", {"text": HELLO})
    expected = {"model": "aura-2-thalia-en", "speed": "1.2"} | options
    assert last_options(upstream) == {name: [value] for name, value in expected.items()}


@pytest.mark.parametrize(
    ("model", "voice", "path", "wire"),
    [
        (AURA, "Selena", "/v1/speak", "aura-2-selena-es"),
        (AURA, "aura-2-ama-ja", "/v1/speak", "aura-2-ama-ja"),
        ("deepgram/aura", "asteria", "/v1/speak", "aura-asteria-en"),
        ("deepgram/aura-2-apollo-en", "apollo", "/v1/speak", "aura-2-apollo-en"),
        ("deepgram/flux", "kit", "/v2/speak", "flux-kit-en"),
    ],
)
def test_voices(client, upstream, model, voice, path, wire):
    client.audio.speech.create(model=model, voice=voice, input=HELLO)
    assert upstream.requests()[-1]["path"] == path
    assert last_options(upstream)["model"] == [wire]


def test_voices_are_listed(client):
    voices = client.get("/audio/voices", cast_to=object)["data"]
    own = {voice["id"]: voice for voice in voices if voice["provider"] == "deepgram" and "aura-2" in voice["models"]}
    assert len(own) == 90
    assert (own["viktoria"]["language"], own["viktoria"]["gender"]) == ("de", None)


def test_speech_as_events(client):
    with client.audio.speech.with_streaming_response.create(
        model=AURA, voice="thalia", input=HELLO, response_format="pcm", stream_format="sse"
    ) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta")
    assert len(audio) == len(HELLO) * 60 * 48
    assert events[-1]["type"] == "speech.audio.done"


@pytest.mark.parametrize(("model", "usd"), [(AURA, 30), ("deepgram/aura", 15), ("deepgram/aura-2-luna-en", 30)])
def test_speech_is_priced_by_characters(client, model, usd):
    answer = client.audio.speech.with_raw_response.create(model=model, voice="luna", input=HELLO)
    [record] = records(client, answer.headers["x-request-id"])
    assert Decimal(record["cost_usd"]) == nano(Decimal(usd) * len(HELLO) / 1_000_000)
    assert record["usage"]["characters"] == len(HELLO)


@pytest.mark.parametrize(("response_format", "size"), [("mp3", 6), ("wav", 48), ("pcm", 48)])
def test_long_text_is_spoken_in_parts_and_billed_once(client, upstream, response_format, size):
    text = " ".join([HELLO] * 90)
    before = len(upstream.requests())
    answer = client.audio.speech.with_raw_response.create(
        model=AURA, voice="thalia", input=text, response_format=response_format
    )
    audio = answer.content
    parts = [request["json"]["text"] for request in upstream.requests()[before:]]
    assert len(parts) == 2 and " ".join(parts) == text
    said = sum(map(len, parts))
    assert len(audio) == said * 60 * size + (44 if response_format == "wav" else 0)
    [record] = records(client, answer.headers["x-request-id"])
    assert record["usage"]["characters"] == said
    assert Decimal(record["cost_usd"]) == nano(Decimal(30) * said / 1_000_000)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"voice": "alloy"}, "voice"),
        ({"speed": 2.0}, "speed"),
        ({"instructions": "softly"}, "instructions"),
        ({"input": "Word. " * 500, "response_format": "opus"}, "response_format"),
        ({"extra_body": {"deepgram": {"encoding": "mulaw"}}}, "deepgram"),
        ({"extra_body": {"deepgram": {"bit_rate": 7}}}, "deepgram.bit_rate"),
    ],
)
def test_what_speech_lacks_is_refused_by_name(client, options, param):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.speech.create(**({"model": AURA, "voice": "thalia", "input": HELLO} | options))
    assert failed.value.param == param


AUDIO = '{"err_code":"Bad Request","err_msg":"Bad Request: failed to process audio: corrupt or unsupported data"}'
JSON = '{"category":"INVALID_JSON","message":"Invalid JSON submitted.","details":"line 1","request_id":"x"}'


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 400, "body": AUDIO}, 415, "unsupported_audio"),
        ({"status": 400, "body": JSON}, 400, "invalid_request"),
        ({"status": 400, "body": "Invalid query string."}, 400, "invalid_request"),
        ({"status": 401}, 502, "upstream_error"),
        ({"status": 402}, 429, "upstream_rate_limited"),
        ({"status": 429}, 429, "upstream_rate_limited"),
        ({"status": 503}, 502, "upstream_error"),
        ({"status": 504}, 504, "upstream_timeout"),
        ({"html": True}, 502, "upstream_error"),
        ({"body": '{"request_id":"an answer to a callback"}'}, 502, "upstream_error"),
        ({"cut_after_bytes": 20}, 502, "upstream_error"),
    ],
)
def test_faults(client, upstream, tone, fault, status, code):
    # What may pass in a moment is asked three times.
    times = 3 if fault.get("status") in (503, 504) else 1
    upstream.script("v1/listen", times=times, **fault)
    with pytest.raises(openai.APIStatusError) as failed:
        client.audio.transcriptions.create(model=NOVA, file=tone)
    assert (failed.value.status_code, failed.value.code) == (status, code)
    assert "sk-upstream" not in str(failed.value) and "<h" not in str(failed.value)
    # As many successes between them, or the target would be left alone for a while.
    for _ in range(times):
        assert client.audio.transcriptions.create(model=NOVA, file=tone).text == SENTENCE


def test_speech_that_fails_in_its_second_part_is_billed_for_what_came(client, upstream):
    text = " ".join([HELLO] * 90)
    upstream.script("v1/speak")
    upstream.script("v1/speak", status=503)
    with client.audio.speech.with_streaming_response.create(
        model=AURA, voice="thalia", input=text, response_format="pcm"
    ) as answer:
        request_id = answer.headers["x-request-id"]
        with pytest.raises(Exception):
            answer.read()
    [record] = records(client, request_id)
    assert record["status"] == "upstream_error"
    assert 0 < record["usage"]["characters"] < len(text)
