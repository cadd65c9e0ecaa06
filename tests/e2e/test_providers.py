"""Every cell of docs/providers.md, asked of the running gateway with the OpenAI SDK.

The table is made from the code that translates requests; here it is held to what a client really gets:
a right result in the format asked for, or the refusal that is documented.
"""

import base64
import io
import json
import re
import wave

import openai
import pytest

from conftest import ROOT, SENTENCE

# Providers are called as their kind in the configuration, but for this one.
ACCOUNTS = {"openai-compatible": "own"}
BEGINNINGS = {"mp3": (b"\xff\xfb", b"ID3"), "opus": (b"OggS",), "aac": (b"\xff\xf1",), "flac": (b"fLaC",), "wav": (b"RIFF",)}
STAMP = r"\d\d:\d\d:\d\d[.,]\d\d\d"
HELLO = "Hello from the other side of the gateway."


def cells(chapter):
    """Each cell of a chapter's table: its row by column, and the column."""
    text = (ROOT / "docs" / "providers.md").read_text()
    lines = text.split(f"## {chapter}\n", 1)[1].split("\n## ", 1)[0].strip().splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    for row in rows:
        named = dict(zip(head, row, strict=True))
        for column in head[2:]:
            if column != "a voice":
                yield pytest.param(named, column, id=f"{row[0]}-{row[1]}-{column}")


def model_of(row):
    return f"{ACCOUNTS.get(row['provider'], row['provider'])}/{row['model']}"


def refused(cell, ask):
    """Whether the cell documents a refusal; then it is checked."""
    param = re.fullmatch(r"400 `(\w+)`", cell)
    if cell == "passed on":
        # The server may not have it; it then says so itself.
        try:
            ask()
        except openai.BadRequestError as refusal:
            return refusal.param is not None
    if not param:
        return False
    with pytest.raises(openai.BadRequestError) as refusal:
        ask()
    assert refusal.value.param == param[1], refusal.value.message
    return True


def words(text):
    return re.sub(r"[^a-z ]", "", text.lower()).split()


def check_transcript(row, column, answer):
    heard = words(SENTENCE)
    if row["provider"] == "local":
        # It hears a tone, of which it may make any word or none.
        heard = None
    text = answer if isinstance(answer, str) else answer.text
    match column:
        case "text":
            assert heard is None or words(text) == heard
        case "srt":
            assert heard is None or re.match(rf"1\n{STAMP} --> {STAMP}\n\w", text), text
        case "vtt":
            assert text.startswith("WEBVTT\n")
            assert heard is None or re.search(rf"{STAMP} --> {STAMP}\n.*\w", text), text
        case "verbose_json":
            assert answer.duration > 0 and isinstance(answer.language, str)
            assert heard is None or words(" ".join(segment.text for segment in answer.segments)) == heard
            assert all(0 <= segment.start <= segment.end <= answer.duration + 0.01 for segment in answer.segments)
        case "diarized_json":
            assert words(" ".join(segment.text for segment in answer.segments)) == heard
            assert all(segment.speaker and segment.start <= segment.end for segment in answer.segments)
        case _:
            assert heard is None or words(text) == heard


@pytest.mark.parametrize(("row", "column"), list(cells("Transcription")))
def test_transcription(client, tone, row, column):
    model, cell = model_of(row), row[column]
    if column == "translation":

        def ask():
            return client.audio.translations.create(model=model, file=tone)

        if not refused(cell, ask):
            assert ask().text.strip()
        return
    if column == "stream":

        def ask():
            return list(client.audio.transcriptions.create(model=model, file=tone, stream=True))

        if not refused(cell, ask):
            events = ask()
            deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
            assert events[-1].type == "transcript.text.done"
            assert "".join(deltas) == events[-1].text
            assert len(deltas) > 1 or cell != "yes"
            check_transcript(row, column, events[-1])
        return

    def ask():
        return client.audio.transcriptions.create(model=model, file=tone, response_format=column)

    if not refused(cell, ask):
        check_transcript(row, column, ask())


@pytest.mark.parametrize(("row", "column"), list(cells("Speech")))
def test_speech(client, row, column):
    model, cell = model_of(row), row[column]
    if column == "events":
        events = {"stream_format": "sse"}
        formats = ["pcm", "wav"]
        asked = next(name for name in formats if not row[name].startswith("400"))
    else:
        events, asked = {}, column

    def ask():
        with client.audio.speech.with_streaming_response.create(
            model=model, voice=row["a voice"], input=HELLO, response_format=asked, **events
        ) as answer:
            return answer.read()

    if refused(cell, ask):
        return
    audio = ask()
    if events:
        told = [json.loads(line[6:]) for line in audio.decode().splitlines() if line.startswith("data: {")]
        assert told[-1]["type"] == "speech.audio.done"
        audio = b"".join(base64.b64decode(event["audio"]) for event in told[:-1])
    assert len(audio) > 1_000
    assert audio.startswith(BEGINNINGS.get(asked, b""))
    if asked == "wav" and cell == "converted":
        with wave.open(io.BytesIO(audio)) as file:
            assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (24_000, 1, 2)
