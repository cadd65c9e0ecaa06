"""Google's three services behind OpenAI's API: an API key, and a service account that gets a token."""

import base64
import concurrent.futures
import json
from decimal import Decimal

import openai
import pytest

from conftest import HELLO, SENTENCE, wav_of
from test_usage import nano, records

LONG = "google/latest_long"
GEMINI = "google/gemini-3.5-transcribe"
CHIRP = "chirp"
HD = "google/chirp3-hd"
TTS = "google/gemini-3.8-flash-tts"


@pytest.fixture
def upstream(upstreams):
    return upstreams["google"]


def last(upstream):
    """The body of the newest request."""
    return upstream.requests()[-1]["json"]


@pytest.mark.parametrize("response_format", ["json", "text", "srt", "vtt", "verbose_json"])
@pytest.mark.parametrize("model", [LONG, GEMINI, CHIRP])
def test_transcript(client, tone, model, response_format):
    answer = client.audio.transcriptions.create(model=model, file=tone, response_format=response_format)
    # Chirp 3 knows no words, so its two stretches of speech are what is shown at once.
    first = "The quick brown fox\n" if model == CHIRP else SENTENCE
    end = "01{0}250" if model == CHIRP else "02{0}500"
    if response_format == "srt":
        assert answer.startswith(f"1\n00:00:00,000 --> 00:00:{end.format(',')}\n{first}")
    elif response_format == "vtt":
        assert answer.startswith(f"WEBVTT\n\n00:00:00.000 --> 00:00:{end.format('.')}\n{first}")
    else:
        assert (answer if response_format == "text" else answer.text).strip() == SENTENCE
    if response_format == "verbose_json":
        assert answer.duration == pytest.approx(2.5)
        assert answer.language == ("unknown" if model == GEMINI else "english")
        assert answer.segments[-1].end == pytest.approx(2.5)


@pytest.mark.parametrize("model", [LONG, GEMINI])
def test_speakers_and_words(client, tone, model):
    answer = client.audio.transcriptions.create(model=model, file=tone, response_format="diarized_json")
    assert [(segment.speaker, segment.text) for segment in answer.segments] == [
        ("A", "The quick brown fox"), ("B", "jumps over the lazy dog."),
    ]
    answer = client.audio.transcriptions.create(
        model=model, file=tone, response_format="verbose_json", timestamp_granularities=["word"], language="en"
    )
    assert [word.word for word in answer.words] == SENTENCE.split()
    assert answer.words[0].start == 0 and answer.words[-1].end == pytest.approx(2.5)
    assert answer.language == "english"


@pytest.mark.parametrize("model", [LONG, GEMINI, CHIRP])
def test_stream_ends_with_the_events_of_the_whole(client, tone, model):
    events = list(client.audio.transcriptions.create(model=model, file=tone, stream=True))
    assert events[-1].type == "transcript.text.done" and events[-1].text == SENTENCE
    assert events[-1].usage is not None


def test_fields_reach_the_provider(client, upstream, tone):
    client.audio.transcriptions.create(
        model=LONG, file=tone, language="de", prompt="Antiphon, Kore", temperature=0,
        extra_body={"google": {"profanityFilter": True}},
    )
    config = last(upstream)["config"]
    assert (config["languageCode"], config["profanityFilter"]) == ("de-DE", True)
    assert config["speechContexts"] == [{"phrases": ["Antiphon", "Kore"]}]
    client.audio.transcriptions.create(model=CHIRP, file=tone)
    assert upstream.requests()[-1]["path"] == "/v2/projects/acme-1/locations/us/recognizers/_:recognize"
    assert last(upstream)["config"]["languageCodes"] == ["auto"]
    assert base64.b64decode(last(upstream)["content"]) == tone[1]


@pytest.mark.parametrize(
    ("model", "options", "param"),
    [
        (CHIRP, {"response_format": "diarized_json"}, "response_format"),
        (CHIRP, {"response_format": "verbose_json", "timestamp_granularities": ["word"]}, "timestamp_granularities"),
        (LONG, {"temperature": 0.4}, "temperature"),
        (LONG, {"include": ["logprobs"]}, "include"),
        (LONG, {"extra_body": {"google": {"profanityFilter": "a"}}}, "google.profanityFilter"),
        (GEMINI, {"extra_body": {"google": {"nonsense": 1}}}, "google"),
        ("google/chirp_3", {}, "model"),
        (HD, {}, "model"),
    ],
)
def test_what_is_refused(client, tone, model, options, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(model=model, file=tone, **options)
    assert refused.value.param == param
    assert "google" in refused.value.message


def test_translation_is_refused_and_never_a_transcript(client, tone):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.translations.create(model=LONG, file=tone)
    assert "translation" in refused.value.message


def test_audio_that_it_does_not_take_does_not_go_up(client, upstream):
    before = len(upstream.requests())
    minute = ("long.wav", wav_of(bytes(2 * 8000 * 61), 8000), "audio/wav")
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.transcriptions.create(model=LONG, file=minute)
    assert refused.value.param == "file" and "60 seconds" in refused.value.message
    adts = b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(10)
    with pytest.raises(openai.APIStatusError) as refused:
        client.audio.transcriptions.create(model=LONG, file=("a.aac", adts * 20, "audio/aac"))
    assert refused.value.status_code == 415
    assert len(upstream.requests()) == before


def test_one_token_serves_many_calls(client, upstream, tone):
    def ask(_):
        return client.audio.transcriptions.create(model=CHIRP, file=tone).text

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(16))) == {SENTENCE}
    seen = upstream.requests()
    assert sum(request["path"] == "/token" for request in seen) <= 1
    headers = dict(seen[-1]["headers"])
    assert headers["authorization"].startswith("Bearer ya29.") and "x-goog-api-key" not in headers


def test_a_token_that_is_refused_is_replaced(client, upstream, tone):
    client.audio.transcriptions.create(model=CHIRP, file=tone)
    before = dict(upstream.requests()[-1]["headers"])["authorization"]
    upstream.script(":recognize", status=401)
    with pytest.raises(openai.InternalServerError):
        client.audio.transcriptions.create(model=CHIRP, file=tone)
    client.audio.transcriptions.create(model=CHIRP, file=tone)
    assert dict(upstream.requests()[-1]["headers"])["authorization"] != before


def test_an_account_that_is_refused_is_ours_to_mend(client, tone):
    with pytest.raises(openai.InternalServerError) as refused:
        client.audio.transcriptions.create(model="google-left/latest_long", file=tone)
    assert refused.value.status_code == 502
    assert "gateway's credential" in refused.value.message and "revoked" not in refused.value.message


KEY_REFUSED = {"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT", "details": [
    {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}
NO_BILLING = {"error": {"code": 400, "message": "Enable billing.", "status": "FAILED_PRECONDITION"}}
LIMITED = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "70s"}
LIMITED = {"error": {"code": 429, "message": "Quota.", "status": "RESOURCE_EXHAUSTED", "details": [LIMITED]}}
BAD_AUDIO = {"error": {"code": 400, "message": "Invalid recognition 'config': bad encoding..", "status": "INVALID_ARGUMENT"}}


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 400, "body": json.dumps(KEY_REFUSED)}, 502, "upstream_error"),
        ({"status": 400, "body": json.dumps(NO_BILLING)}, 502, "upstream_error"),
        ({"status": 400, "body": json.dumps(BAD_AUDIO)}, 415, "unsupported_audio"),
        ({"status": 400}, 400, "invalid_request"),
        ({"status": 403}, 502, "upstream_error"),
        ({"status": 404}, 502, "upstream_error"),
        ({"status": 429, "body": json.dumps(LIMITED)}, 429, "upstream_rate_limited"),
        ({"status": 500}, 502, "upstream_error"),
        ({"status": 504}, 504, "upstream_timeout"),
        ({"html": True}, 502, "upstream_error"),
        ({"body": '{"text":"not Google"}'}, 502, "upstream_error"),
    ],
)
@pytest.mark.parametrize("model", [LONG, GEMINI])
def test_faults(gateway, upstream, tone, model, fault, status, code):
    # What may pass in a moment is asked three times.
    times = 3 if fault.get("status") == 504 else 1
    upstream.script("", times=times, **fault)
    with gateway.client() as client, pytest.raises(openai.APIStatusError) as refused:
        client.audio.transcriptions.create(model=model, file=tone)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert "not Google" not in refused.value.message
    if status == 429:
        # From the body: Google sends no such header.
        assert refused.value.response.headers["retry-after"] == "70"
    # Failures in a row would take the target out of service for the tests that follow.
    with gateway.client() as client:
        assert client.audio.transcriptions.create(model=model, file=tone).text == SENTENCE


@pytest.mark.parametrize(
    ("response_format", "begins"), [("mp3", b"\xff\xfb"), ("opus", b"OggS"), ("wav", b"RIFF"), ("pcm", b"")]
)
@pytest.mark.parametrize("model", [HD, TTS])
def test_speech(client, model, response_format, begins):
    asked = {"model": model, "voice": "Kore", "input": HELLO, "response_format": response_format}
    if model == TTS and response_format not in ("wav", "pcm"):
        with pytest.raises(openai.BadRequestError) as refused:
            client.audio.speech.create(**asked)
        assert refused.value.param == "response_format" and "wav and pcm" in refused.value.message
        return
    audio = client.audio.speech.create(**asked).content
    assert audio.startswith(begins)
    per_ms = 48 if response_format in ("wav", "pcm") else 4
    header = 44 if (model, response_format) == (TTS, "wav") else 0
    assert len(audio) == len(HELLO) * 60 * per_ms + header


@pytest.mark.parametrize("model", [HD, TTS])
@pytest.mark.parametrize("response_format", ["aac", "flac"])
def test_formats_that_it_has_not(client, model, response_format):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(model=model, voice="Kore", input=HELLO, response_format=response_format)
    assert refused.value.param == "response_format"


@pytest.mark.parametrize("model", [HD, TTS])
def test_speech_as_events(client, model):
    with client.audio.speech.with_streaming_response.create(
        model=model, voice="Kore", input=HELLO, response_format="pcm", stream_format="sse"
    ) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta")
    assert len(audio) == len(HELLO) * 60 * 48
    assert events[-1]["type"] == "speech.audio.done"


def test_speech_fields_reach_the_provider(client, upstream):
    client.audio.speech.create(
        model=TTS, voice="kore", input=HELLO, response_format="wav", instructions="cheerful",
        extra_body={"google": {"languageCode": "en-GB"}},
    )
    body = last(upstream)
    assert body["contents"][0]["parts"][0]["speechMetadata"] == {"style": "cheerful"}
    assert body["generationConfig"]["speechConfig"] == {"voiceConfig": {"voice": "Kore"}, "languageCode": "en-GB"}
    client.audio.speech.create(model="google/neural2", voice="en-GB-Neural2-A", input=HELLO, speed=1.5)
    assert last(upstream)["voice"] == {"languageCode": "en-GB", "name": "en-GB-Neural2-A"}
    assert last(upstream)["audioConfig"] == {"audioEncoding": "MP3", "speakingRate": 1.5}


@pytest.mark.parametrize(
    ("model", "options", "param"),
    [
        (HD, {"instructions": "softly"}, "instructions"),
        (HD, {"speed": 2.5}, "speed"),
        (HD, {"voice": "alloy"}, "voice"),
        (HD, {"extra_body": {"google": {"pitch": 1}}}, "google"),
        (TTS, {"response_format": "wav", "speed": 1.5}, "speed"),
        (LONG, {}, "model"),
    ],
)
def test_what_is_refused_of_speech(client, model, options, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.audio.speech.create(**{"model": model, "voice": "Kore", "input": HELLO, **options})
    assert refused.value.param == param


def test_a_long_text_is_one_file(client, upstream):
    """5,000 bytes at once: letters of two bytes come to more in fewer characters than OpenAI takes."""
    text = "Это одно предложение. " * 150
    audio = client.audio.speech.create(model=HD, voice="Kore", input=text.strip(), response_format="wav").content
    parts = [request["json"]["input"]["text"] for request in upstream.requests()[-2:]]
    assert " ".join(parts) == text.strip() and all(part.endswith(".") for part in parts)
    assert len(audio) == 44 + sum(len(part) * 60 * 48 - 44 for part in parts)
    assert audio.count(b"RIFF") == 1


BLOCKED = 'data: {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}\n\n'


@pytest.mark.parametrize(
    ("model", "body"), [(TTS, BLOCKED), (TTS, "[]"), (HD, '{"error": {"message": "x"}}'), (HD, '{"audioContent": ""}')]
)
def test_a_200_without_audio_is_an_error_and_not_an_empty_file(client, upstream, model, body):
    upstream.script("", body=body)
    with pytest.raises(openai.InternalServerError) as refused:
        client.audio.speech.create(model=model, voice="Kore", input=HELLO, response_format="wav")
    assert refused.value.status_code == 502
    # Failures in a row would take the target out of service for the tests that follow.
    client.audio.speech.create(model=model, voice="Kore", input=HELLO, response_format="wav")


def test_what_fails_before_its_first_sound_is_asked_of_the_next_target(client, upstream):
    upstream.script("", body=BLOCKED)
    answer = client.audio.speech.with_raw_response.create(
        model="say-google", voice="narrator", input=HELLO, response_format="wav"
    )
    assert answer.headers["x-antiphon-provider"] == "openai" and answer.headers["x-antiphon-attempts"] == "2"
    answer = client.audio.speech.with_raw_response.create(
        model="say-google", voice="narrator", input=HELLO, response_format="wav"
    )
    assert answer.headers["x-antiphon-provider"] == "google"
    assert last(upstream)["generationConfig"]["speechConfig"]["voiceConfig"] == {"voice": "Kore"}


def test_speech_that_breaks_off_is_not_whole(client, upstream):
    upstream.script("streamGenerateContent", cut_after_bytes=30_000)
    with pytest.raises(openai.APIConnectionError), client.audio.speech.with_streaming_response.create(
        model=TTS, voice="Kore", input=HELLO, response_format="pcm"
    ) as answer:
        try:
            answer.read()
        except Exception as error:
            raise openai.APIConnectionError(request=answer.http_request) from error


def test_both_channels_are_heard_when_that_is_said(client, two_channels):
    with pytest.raises(openai.APIStatusError) as refused:
        client.audio.transcriptions.create(model=LONG, file=two_channels)
    assert refused.value.status_code == 415 and "enableSeparateRecognitionPerChannel" in refused.value.message
    said = {"google": {"enableSeparateRecognitionPerChannel": True}}
    assert client.audio.transcriptions.create(model=LONG, file=two_channels, extra_body=said).text == SENTENCE


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        # 2.5 s are billed as 3 s.
        (LONG, Decimal("0.024") * 3 / 60),
        (CHIRP, Decimal("0.016") * 3 / 60),
        # 25 tokens a second, rounded up, and as many words as the sentence has and two more.
        (GEMINI, Decimal("0.000001") * (63 * 2 + 11 * 12)),
    ],
)
def test_transcripts_are_priced_by_what_google_reports(client, tone, model, usd):
    answer = client.audio.transcriptions.with_raw_response.create(model=model, file=tone)
    [record] = records(client, answer.headers["x-request-id"])
    assert Decimal(record["cost_usd"]) == nano(usd)
    assert record["usage_source"] == "reported"


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        (HD, Decimal(30) * len(HELLO) / 1_000_000),
        # A token for four letters in, 25 a second out.
        (TTS, Decimal("0.000001") * (-(-len(HELLO) // 4) * Decimal("0.5") + -(-len(HELLO) * 60 // 40) * 9)),
    ],
)
def test_speech_is_priced(client, model, usd):
    answer = client.audio.speech.with_raw_response.create(
        model=model, voice="Kore", input=HELLO, response_format="pcm"
    )
    [record] = records(client, answer.headers["x-request-id"])
    assert Decimal(record["cost_usd"]) == nano(usd)
    assert record["usage"]["characters"] == len(HELLO)
