"""`client.audio.speech`: bytes as they arrive, formats, events."""

import base64
import io
import json
import time
import wave

import pytest

HELLO = "Hello from the other side of the gateway."
BEGINNINGS = {"mp3": b"\xff\xfb", "wav": b"RIFF", "opus": b"OggS", "flac": b"fLaC", "aac": b"\xff\xf1"}


@pytest.mark.parametrize("model", ["openai/tts-1", "azure/tts", "own/kokoro"])
@pytest.mark.parametrize("response_format", ["mp3", "wav", "pcm", "opus", "flac", "aac"])
def test_formats(client, model, response_format):
    with client.audio.speech.with_streaming_response.create(
        model=model, voice="alloy", input=HELLO, response_format=response_format
    ) as answer:
        audio = answer.read()
    assert audio.startswith(BEGINNINGS.get(response_format, b""))
    assert len(audio) > 5_000


def test_groq_speaks_wav(client):
    with client.audio.speech.with_streaming_response.create(
        model="groq/canopylabs/orpheus-v1-english", voice="hannah", input=HELLO, response_format="wav"
    ) as answer:
        assert answer.read().startswith(b"RIFF")


@pytest.mark.parametrize("response_format", ["wav", "pcm"])
def test_groq_speaks_long_text_in_parts(client, upstreams, response_format):
    """Groq takes 200 characters at once; every part is a file of its own, and the client gets one."""
    text = " ".join(f"This is sentence number {number} of a longer story." for number in range(10, 20))
    audio = client.audio.speech.create(
        model="groq/canopylabs/orpheus-v1-english", voice="hannah", input=text, response_format=response_format
    ).content
    parts = [request["json"]["input"] for request in upstreams["groq"].requests()[-3:]]
    assert " ".join(parts) == text and all(len(part) <= 200 and part.endswith(".") for part in parts)
    samples = sum(len(part) * 60 * 48 - 44 for part in parts)
    assert len(audio) == samples + (44 if response_format == "wav" else 0)
    assert audio.count(b"RIFF") == (1 if response_format == "wav" else 0)


def test_bytes_flow_before_the_last_is_made(client):
    """Twenty pieces with pauses between them: the first must not wait for the last."""
    first = None
    with client.audio.speech.with_streaming_response.create(
        model="openai/tts-1", voice="alloy", input="script:bytes=20000 script:chunk_bytes=1000 script:chunk_ms=100",
        response_format="pcm",
    ) as answer:
        size = 0
        for piece in answer.iter_bytes(chunk_size=500):
            first = first or time.monotonic()
            size += len(piece)
    took = time.monotonic() - first
    assert size == 20_000
    # How long the call takes to begin is the machine's business; the pauses are two seconds.
    assert took > 1, f"the last byte {took:.2f} s after the first"


@pytest.mark.parametrize("model", ["openai/gpt-4o-mini-tts", "own/kokoro"])
def test_sse(client, model):
    """The SDK hands events of speech on as they are; whoever does not send them has them made here."""
    with client.audio.speech.with_streaming_response.create(
        model=model, voice="alloy", input=HELLO, response_format="pcm", stream_format="sse"
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    audio = b"".join(base64.b64decode(event["audio"]) for event in events if event["type"] == "speech.audio.delta")
    assert len(audio) == len(HELLO) * 60 * 48
    assert events[-1]["type"] == "speech.audio.done"


@pytest.mark.parametrize("voice", ["slt", "rms", "narrator"])
def test_local_wav(client, voice):
    with client.audio.speech.with_streaming_response.create(
        model="local/flite", voice=voice, input=HELLO, response_format="wav"
    ) as answer:
        audio = answer.read()
    with wave.open(io.BytesIO(audio)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        rate = file.getframerate()
    # The length of a streamed WAV file is not known when its header is sent.
    assert (len(audio) - 44) / 2 / rate > 1.5, "the sentence takes longer than that to speak"


def test_local_pcm_is_24_khz(client):
    audio = client.audio.speech.create(model="local/flite", voice="slt", input=HELLO, response_format="pcm").content
    assert 1.5 < len(audio) / 48_000 < 6


def test_mapped_voice_at_openai(client, upstreams):
    client.audio.speech.create(model="openai/gpt-4o-mini-tts", voice="narrator", input=HELLO)
    assert upstreams["openai"].requests()[-1]["json"]["voice"] == "marin"
