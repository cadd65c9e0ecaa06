"""ElevenLabs behind OpenAI's API: every request that reached it is what its specification knows."""

import base64
import concurrent.futures
import json
import signal
from decimal import Decimal

import openai
import pytest

import conftest
from conftest import HELLO, SENTENCE
from test_usage import nano, records

SCRIBE = "elevenlabs/scribe_v2"
FLASH = "elevenlabs/eleven_flash_v2_5"
RACHEL = "21m00Tcm4TlvDq8ikWAM"


@pytest.fixture
def upstream(upstreams):
    return upstreams["elevenlabs"]


def last_fields(upstream):
    """The fields of the newest form, each with all its values."""
    fields = {}
    for name, value in upstream.requests()[-1]["fields"]:
        fields.setdefault(name, []).append(value)
    return fields


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt", "verbose_json", "diarized_json"])
def test_transcript(client, upstream, tone, response_format):
    answer = client.audio.transcriptions.create(model=SCRIBE, file=tone, response_format=response_format)
    # Without our word the vendor would write the laughter into it.
    assert last_fields(upstream)["tag_audio_events"] == ["false"]
    if response_format == "srt":
        assert answer.startswith("1\n00:00:00,000 --> 00:00:02,493\n" + SENTENCE)
    elif response_format == "vtt":
        assert answer.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:02.493\n" + SENTENCE)
    else:
        assert (answer if response_format == "text" else answer.text).strip() == SENTENCE
    if response_format == "diarized_json":
        assert [(segment.speaker, segment.text) for segment in answer.segments] == [
            ("A", "The quick brown fox jumps"), ("B", "over the lazy dog."),
        ]
        assert answer.duration == pytest.approx(2.5)
    if response_format == "verbose_json":
        assert (answer.language, answer.duration) == ("english", pytest.approx(2.5))
        assert [segment.text for segment in answer.segments] == [SENTENCE]


def test_words_and_language(client, upstream, tone):
    answer = client.audio.transcriptions.create(
        model=SCRIBE, file=tone, language="de", response_format="verbose_json", timestamp_granularities=["word"],
        temperature=0.2,
    )
    assert [word.word for word in answer.words] == SENTENCE.split()
    assert answer.language == "german"
    assert last_fields(upstream)["language_code"] == ["de"] and last_fields(upstream)["temperature"] == ["0.2"]


@pytest.mark.parametrize("response_format", ["json", "diarized_json"])
def test_stream(client, tone, response_format):
    events = list(
        client.audio.transcriptions.create(model=SCRIBE, file=tone, stream=True, response_format=response_format)
    )
    assert events[-1].type == "transcript.text.done" and events[-1].text == SENTENCE
    speakers = [event.speaker for event in events if event.type == "transcript.text.segment"]
    assert speakers == (["A", "B"] if response_format == "diarized_json" else [])


def test_fields_of_the_vendor(client, upstream, tone):
    answer = client.audio.transcriptions.create(
        model=SCRIBE, file=tone, response_format="diarized_json", extra_body={"elevenlabs": {
            "detect_speaker_roles": True, "num_speakers": 2, "entity_detection": ["pii"], "seed": 3,
            "tag_audio_events": True, "enable_logging": False,
        }},
    )
    assert [segment.speaker for segment in answer.segments][:2] == ["agent", "customer"]
    assert answer.text.endswith("(laughter)")
    assert answer.entities[0]["text"] == "fox"
    assert upstream.requests()[-1]["query"] == "enable_logging=false"
    assert last_fields(upstream)["entity_detection"] == ["pii"]


def test_channels_become_speakers_and_are_billed_each(client, upstream, two_channels):
    answer = client.audio.transcriptions.with_raw_response.create(
        model=SCRIBE, file=two_channels, response_format="diarized_json",
        extra_body={"elevenlabs": {"use_multi_channel": True}},
    )
    assert [segment.speaker for segment in answer.parse().segments] == ["A", "B"]
    [record] = records(client, answer.headers["x-request-id"])
    assert record["usage"]["audio_in_ms"] == 2000
    assert Decimal(record["cost_usd"]) == nano(Decimal("0.22") * 2 / 3600)


@pytest.mark.parametrize(
    ("options", "percent"),
    [
        ({}, 0),
        ({"extra_body": {"keywords": ["fox", "lazy dog"]}}, 20),
        ({"extra_body": {"elevenlabs": {"entity_detection": "all", "keyterms": ["fox"]}}}, 50),
    ],
)
def test_transcription_is_priced_with_what_is_asked_beside_it(client, tone, options, percent):
    answer = client.audio.transcriptions.with_raw_response.create(model=SCRIBE, file=tone, **options)
    usd = nano(Decimal("0.22") * Decimal("2.5") / 3600 * (100 + percent) / 100)
    assert Decimal(answer.headers["x-antiphon-cost-usd"]) == usd
    [record] = records(client, answer.headers["x-request-id"])
    assert (Decimal(record["cost_usd"]), record["usage_source"]) == (usd, "reported")
    assert record["usage"]["surcharge_percent"] == percent


def test_a_budget_holds_what_is_asked_beside_the_audio(gateway, tone):
    """2.5 s cost 0.000153 dollars, with key terms 0.000183."""
    with gateway.client(conftest.NO_EXTRAS) as client:
        with pytest.raises(openai.RateLimitError) as failed:
            client.audio.transcriptions.create(model=SCRIBE, file=tone, extra_body={"keywords": ["fox"]})
        assert failed.value.code == "budget_exceeded"
        assert client.audio.transcriptions.create(model=SCRIBE, file=tone).text == SENTENCE


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"prompt": "A hint"}, "prompt"),
        ({"include": ["logprobs"]}, "include"),
        ({"extra_body": {"elevenlabs": {"webhook": True}}}, "elevenlabs"),
        ({"extra_body": {"elevenlabs": {"num_speakers": 99}}}, "elevenlabs.num_speakers"),
    ],
)
def test_what_scribe_lacks_is_refused_by_name(client, tone, options, param):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.transcriptions.create(model=SCRIBE, file=tone, **options)
    assert failed.value.param == param


def test_there_is_no_translation(client, tone):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.translations.create(model=SCRIBE, file=tone)
    assert failed.value.param == "model" and "translation" in str(failed.value)


@pytest.mark.parametrize(
    ("response_format", "output_format", "start", "size"),
    [
        ("mp3", "mp3_44100_128", b"\xff\xfb", 16),
        ("opus", "opus_48000_64", b"OggS", 8),
        ("pcm", "pcm_24000", b"", 48),
        ("wav", "pcm_24000", b"RIFF", 48),
    ],
)
def test_speech(client, upstream, response_format, output_format, start, size):
    with client.audio.speech.with_streaming_response.create(
        model=FLASH, voice=RACHEL, input=HELLO, response_format=response_format, speed=1.1
    ) as answer:
        # The vendor calls every format MPEG.
        kinds = {"mp3": "mpeg"}
        assert answer.headers["content-type"] == f"audio/{kinds.get(response_format, response_format)}"
        audio = answer.read()
    assert audio.startswith(start)
    assert len(audio) == len(HELLO) * 60 * size + (44 if response_format == "wav" else 0)
    asked = upstream.requests()[-1]
    assert (asked["path"], asked["query"]) == (f"/v1/text-to-speech/{RACHEL}/stream", f"output_format={output_format}")
    assert asked["json"]["voice_settings"] == {"speed": 1.1}


def test_speech_as_events(client):
    with client.audio.speech.with_streaming_response.create(
        model=FLASH, voice=RACHEL, input=HELLO, response_format="pcm", stream_format="sse"
    ) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta")
    assert len(audio) == len(HELLO) * 60 * 48
    assert events[-1]["type"] == "speech.audio.done"


def test_speech_is_priced_by_characters(client):
    answer = client.audio.speech.with_raw_response.create(model=FLASH, voice=RACHEL, input=HELLO)
    [record] = records(client, answer.headers["x-request-id"])
    assert Decimal(record["cost_usd"]) == nano(Decimal(50) * len(HELLO) / 1_000_000)
    assert record["usage"]["characters"] == len(HELLO)


def test_more_text_than_openai_takes(client):
    assert client.audio.speech.create(model=FLASH, voice=RACHEL, input="Word. " * 1500).content


def test_voice_settings(client, upstream):
    client.audio.speech.create(
        model="elevenlabs/eleven_v3", voice=RACHEL, input=HELLO,
        extra_body={"elevenlabs": {"voice_settings": {"stability": 0.5}, "language_code": "fr-FR", "seed": 9}},
    )
    sent = upstream.requests()[-1]["json"]
    assert (sent["voice_settings"], sent["language_code"], sent["seed"]) == ({"stability": 0.5}, "fr", 9)


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"response_format": "flac"}, "response_format"),
        ({"response_format": "aac"}, "response_format"),
        ({"speed": 2.0}, "speed"),
        ({"instructions": "softly"}, "instructions"),
        ({"extra_body": {"elevenlabs": {"output_format": "pcm_44100"}}}, "elevenlabs"),
        ({"extra_body": {"elevenlabs": {"voice_settings": {"stability": 7}}}}, "elevenlabs.voice_settings"),
    ],
)
def test_what_speech_lacks_is_refused_by_name(client, options, param):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.speech.create(model=FLASH, voice=RACHEL, input=HELLO, **options)
    assert failed.value.param == param


@pytest.mark.parametrize("voice", ["Rachel", "rachel", "narrator", RACHEL])
def test_voices_by_name_and_id(client, upstream, voice):
    client.audio.speech.create(model=FLASH, voice=voice, input=HELLO)
    assert upstream.requests()[-1]["path"] == f"/v1/text-to-speech/{RACHEL}/stream"


def test_a_voice_of_the_second_page(client, upstream):
    client.audio.speech.create(model=FLASH, voice="voice 117", input=HELLO)
    assert upstream.requests()[-1]["path"] == "/v1/text-to-speech/Scripted000000000117/stream"


def test_unknown_names_are_told_and_do_not_flood_the_vendor(client, upstream):
    def ask(number):
        with pytest.raises(openai.BadRequestError) as failed:
            client.audio.speech.create(model=FLASH, voice=f"nobody {number}", input=HELLO)
        return failed.value

    before = lists(upstream)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(ask, range(16)))
    assert {error.param for error in errors} == {"voice"}
    assert "`nobody 7`" in str(errors[7]) and "elevenlabs" in str(errors[7])
    # Once at most for all of them, of two pages.
    assert lists(upstream) - before <= 2


@pytest.fixture
def fresh_client(tmp_path, all_upstreams):
    """A client of a gateway that has not asked for voices yet."""
    gateway = conftest.Gateway(tmp_path, all_upstreams)
    with gateway.client() as client:
        yield client
    gateway.stop(signal.SIGTERM)


def test_many_names_at_once_are_one_look_at_the_list(fresh_client, upstream):
    def ask(number):
        return fresh_client.audio.speech.create(model=FLASH, voice=f"Voice {number}", input=HELLO).content

    before = lists(upstream)
    upstream.script("/v2/voices", delay_ms=300)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
    assert lists(upstream) - before == 2, "two pages"


def test_a_vendor_that_does_not_tell_its_voices(fresh_client, upstream):
    before = lists(upstream)
    upstream.script("/v2/voices", status=500)
    for _ in range(2):
        with pytest.raises(openai.InternalServerError) as failed:
            fresh_client.audio.speech.create(model=FLASH, voice="Rachel", input=HELLO)
        assert failed.value.code == "upstream_error"
    assert lists(upstream) - before == 1, "not asked again for a moment"
    answer = fresh_client.audio.speech.with_raw_response.create(model="say", voice="alloy", input=HELLO)
    assert answer.headers["x-antiphon-provider"] == "openai"
    assert fresh_client.audio.speech.create(model=FLASH, voice=RACHEL, input=HELLO).content, "an id needs no list"
    voices = fresh_client.get("/audio/voices", cast_to=object)["data"]
    assert voices and not any(voice["provider"] == "elevenlabs" for voice in voices)


def lists(upstream):
    return sum(request["path"] == "/v2/voices" for request in upstream.requests())


def test_voices_are_listed(client):
    voices = client.get("/audio/voices", cast_to=object)["data"]
    own = {voice["id"]: voice for voice in voices if voice["provider"] == "elevenlabs"}
    assert len(own) == 120
    assert own[RACHEL]["name"] == "Rachel"
    assert (own[RACHEL]["language"], own[RACHEL]["gender"]) == ("en", "female")
    assert own[RACHEL]["preview_url"].startswith("https://")


def test_a_voice_that_is_gone_is_the_caller_s_error(client):
    with pytest.raises(openai.BadRequestError) as failed:
        client.audio.speech.create(model=FLASH, voice="aaaaaaaaaaaaaaaaaaa9", input=HELLO)
    assert failed.value.param == "voice"


@pytest.mark.parametrize("how", ["status", "unknown voice"])
def test_speech_falls_over_with_the_mapped_voice(client, upstreams, how):
    voice = "alloy"
    if how == "status":
        voice = "narrator"
        upstreams["elevenlabs"].script("/stream", status=503)
    answer = client.audio.speech.with_raw_response.create(model="say", voice=voice, input=HELLO)
    assert answer.headers["x-antiphon-provider"] == "openai"
    assert answer.headers["x-antiphon-attempts"] == ("2" if how == "status" else "1")
    assert upstreams["openai"].requests()[-1]["json"]["voice"] == ("marin" if how == "status" else "alloy")
    [record] = records(client, answer.headers["x-request-id"])
    failed = [{"provider": "elevenlabs", "model": "eleven_flash_v2_5", "error": "upstream_error"}]
    assert record["failed_attempts"] == (failed if how == "status" else []), "it names who failed and who served"
    assert (record["provider"], record["model_served"], record["status"]) == ("openai", "tts-1", "ok")


QUOTA = '{"detail":{"status":"quota_exceeded","message":"This request exceeds your quota of 10000."}}'
FIELD = '{"detail":[{"type":"missing","loc":["body","text"],"msg":"Field required","input":null}]}'
REFUSED = '{"detail":{"type":"authentication_error","code":"unauthorized","message":"Invalid API key"}}'


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ({"status": 401, "body": QUOTA}, openai.RateLimitError, "upstream_rate_limited"),
        ({"status": 401, "body": REFUSED}, openai.InternalServerError, "upstream_error"),
        ({"status": 422, "body": FIELD}, openai.BadRequestError, "invalid_request"),
        ({"status": 429}, openai.RateLimitError, "upstream_rate_limited"),
        ({"html": True}, openai.InternalServerError, "upstream_error"),
        ({"cut_after_bytes": 0}, openai.InternalServerError, "upstream_error"),
    ],
)
def test_faults(client, upstream, fault, error, code):
    # A connection that breaks before the answer begins is opened again.
    upstream.script("/stream", times=3 if "cut_after_bytes" in fault else 1, **fault)
    with pytest.raises(error) as failed:
        client.audio.speech.create(model=FLASH, voice=RACHEL, input=HELLO)
    upstream.reset()
    assert failed.value.code == code
    assert "Invalid API key" not in str(failed.value) and "<html" not in str(failed.value)


def test_garbage_instead_of_a_transcript(client, upstream, tone):
    upstream.script("speech-to-text", html=True)
    with pytest.raises(openai.InternalServerError) as failed:
        client.audio.transcriptions.create(model=SCRIBE, file=tone)
    assert failed.value.code == "upstream_error" and "Bad Gateway" not in str(failed.value)
