"""Helpers for tests of realtime sessions through the Python SDK."""

import base64

# 100 ms of 16-bit samples at 24 kHz.
PIECE_BYTES = 4800


def until(connection, *types):
    """Every event up to the first of one of these types, which is the last of the list."""
    events = []
    while True:
        event = connection.recv()
        events.append(event)
        assert event.type != "error" or "error" in types, event.error
        if event.type in types:
            return events


def append(connection, pcm):
    """Sends samples as a microphone does, piece by piece."""
    for start in range(0, len(pcm), PIECE_BYTES):
        piece = base64.b64encode(pcm[start : start + PIECE_BYTES]).decode()
        connection.input_audio_buffer.append(audio=piece)


def request_id(connection):
    """The gateway's id of the session, as the handshake told it."""
    return connection._connection.response.headers["x-request-id"]


def transcription_session(model, **audio_input):
    """The configuration of a session that only transcribes."""
    return {
        "type": "transcription",
        "audio": {
            "input": {"format": {"type": "audio/pcm", "rate": 24000}, "transcription": {"model": model}, **audio_input}
        },
    }
