"""Transcription sessions over vendors whose language the gateway translates, with OpenAI's SDK.

The scripted vendors understand words from the levels of the samples, so that what they write down is decided
by the audio that reaches them. `LIVE_MINUTES` and `LIVE_SPEED` set the length of the long session and how
many times faster than a clock it runs; 60 and 20 are the full length.
"""

import os
import signal
import struct
import threading
import time

import openai
import pytest

from conftest import KEY, wait_for
from realtime import append, request_id, transcription_session, until

INTENT = {"intent": "transcription"}
DELTA = "conversation.item.input_audio_transcription.delta"
COMPLETED = "conversation.item.input_audio_transcription.completed"
MODELS = [
    "deepgram/nova-3",
    "deepgram/flux-general-en",
    "elevenlabs/scribe_v2_realtime",
    "elevenlabs/scribe_v3_live",
    "google/gemini-3.5-transcribe-live",
]
# Milliseconds of a word, and of the silence behind an utterance of six.
WORD_MS, SILENCE_MS, WORDS = 340, 700, 6

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0" }}
  metrics: {{ bind: "127.0.0.1:0" }}
  data_dir: data
database: {{ url: "sqlite://data/antiphon.db" }}
providers:
  - {{ name: deepgram, kind: deepgram, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}
  - {{ name: elevenlabs, kind: elevenlabs, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}
  - {{ name: google, kind: google, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}
tenants:
  - name: acme
    keys: [{{ name: all, key: {key} }}]
"""


@pytest.fixture(scope="module")
def live_config(vendors):
    return CONFIG.format(url=vendors.url, key=KEY)


def word(number):
    return struct.pack("<h", 2000 + 8 * (number % 3000)) * (24 * WORD_MS)


def utterance(numbers):
    return b"".join(word(number) for number in numbers) + bytes(48 * SILENCE_MS)


def text(numbers):
    return " ".join(f"w{number % 3000}" for number in numbers)


@pytest.mark.parametrize("model", MODELS)
def test_turns_are_transcribed_as_they_are_spoken(live, vendors, model):
    before = vendors.seen()["audio_ms"]
    with live.client() as client, client.realtime.connect(extra_query=INTENT) as session:
        assert session.recv().type == "session.created"
        vad = {"type": "server_vad", "silence_duration_ms": 500}
        session.session.update(session=transcription_session(model, turn_detection=vad))
        updated = until(session, "session.updated")[-1]
        assert updated.session.audio.input.transcription.model == model
        append(session, utterance(range(6)) + utterance(range(6, 12)) + bytes(48_000))
        first, second = until(session, COMPLETED), until(session, COMPLETED)
        for events, numbers in [(first, range(6)), (second, range(6, 12))]:
            kinds = [event.type for event in events if event.type != DELTA]
            assert kinds[:3] == [
                "input_audio_buffer.speech_started",
                "input_audio_buffer.speech_stopped",
                "input_audio_buffer.committed",
            ]
            assert events[-1].transcript == text(numbers)
            assert "".join(event.delta for event in events if event.type == DELTA) == text(numbers)
            assert events[-1].usage.type == "duration"
            # Scribe tells no times, so all that it had counts to the first.
            assert events[-1].usage.seconds > 0 or "scribe" in model
        assert first[-1].item_id != second[-1].item_id
        asked = request_id(session)
    all_billed(live, vendors, asked, before)


def all_billed(live, vendors, asked, before):
    """Waits until the records of a session are of all the audio that the vendor has had."""

    def ask():
        try:
            data = client.get(f"/usage/{asked}", cast_to=object)["data"]
        except openai.NotFoundError:
            return None
        billed = sum(record["usage"]["audio_in_ms"] for record in data)
        return billed if billed == vendors.seen()["audio_ms"] - before else None

    with live.client() as client:
        wait_for(ask)


def test_a_commit_by_hand_and_a_vendor_that_drops(live, vendors):
    vendors.drop_after(1_000)
    with live.client() as client, client.realtime.connect(extra_query=INTENT) as session:
        session.session.update(session=transcription_session("deepgram/nova-3", turn_detection=None))
        until(session, "session.updated")
        append(session, utterance(range(6)))
        session.input_audio_buffer.commit()
        assert until(session, COMPLETED)[-1].transcript == text(range(6))


def test_what_a_vendor_cannot_do_is_said(live):
    with live.client() as client, client.realtime.connect(extra_query=INTENT) as session:
        session.session.update(session=transcription_session("deepgram/nova-3"))
        until(session, "session.updated")
        session.session.update(
            session={"type": "transcription", "audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}}
        )
        error = until(session, "error")[-1].error
        assert error.param == "session.audio.input.turn_detection", error
        session.input_audio_buffer.commit()
        assert until(session, "error")[-1].error.code == "input_audio_buffer_commit_empty"


def test_a_long_session_keeps_memory_flat_and_loses_no_word(live, vendors):
    minutes = float(os.environ.get("LIVE_MINUTES", "6"))
    speed = float(os.environ.get("LIVE_SPEED", "60"))
    signal.alarm(int(60 + 60 * minutes / speed * 1.5))
    utterances = int(minutes * 60_000 / (WORDS * WORD_MS + SILENCE_MS))
    before = len(vendors.seen()["words"])
    memory, transcripts = [], []
    with live.client() as client, client.realtime.connect(extra_query=INTENT) as session:
        session.session.update(session=transcription_session("deepgram/nova-3"))
        until(session, "session.updated")
        began = time.monotonic()

        def speak():
            spoken_ms = 0
            for start in range(0, utterances * WORDS, WORDS):
                append(session, utterance(range(start, start + WORDS)))
                spoken_ms += WORDS * WORD_MS + SILENCE_MS
                time.sleep(max(0.0, began + spoken_ms / 1000 / speed - time.monotonic()))

        speaker = threading.Thread(target=speak)
        speaker.start()
        for _ in range(utterances):
            events = until(session, COMPLETED)
            transcripts.append(events[-1].transcript)
            memory.append(live.resident_kib())
        speaker.join()
        took = time.monotonic() - began
    said = vendors.seen()["words"][before:]
    heard = " ".join(transcripts).split()
    assert heard == said == text(range(utterances * WORDS)).split()
    settled, last = max(memory[utterances // 4 : utterances // 2]), max(memory[-utterances // 4 :])
    print(f"{minutes:.0f} minutes in {took:.0f} s: {len(heard)} words, {settled} KiB after a quarter, {last} KiB at the end")
    assert last < settled + 8 * 1024, "the memory of a session grows with its length"
