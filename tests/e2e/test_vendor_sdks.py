"""The vendors' own SDKs, unchanged but for base URL and key: speech, a transcript, a live session, and what each costs.

The scripted vendors understand words of live sessions from the levels of the samples; the prices are those of
`pricing-seed/prices`.
"""

import asyncio
import base64
import json
import sqlite3
import struct
import urllib.error
import urllib.parse
import urllib.request
from decimal import Decimal

import deepgram
import elevenlabs
import elevenlabs.core
import groq
import httpx
import pytest
import websockets.sync.client
from deepgram.environment import DeepgramClientEnvironment
from elevenlabs import AudioFormat, RealtimeEvents

import conftest
from conftest import HELLO, KEY, PATIENCE_S, SENTENCE, wait_for
from test_node import run_node
from test_usage import nano, records

# What Deepgram's SDK imports of it.
pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")

RACHEL = "21m00Tcm4TlvDq8ikWAM"
VOICE = "aura-2-thalia-en"
ORPHEUS = "canopylabs/orpheus-v1-english"
RATE = 16_000
# Three words of 340 ms with 60 ms between them, and a second of silence.
WORDS = ["w1", "w2", "w3"]
SPOKEN_S = Decimal("2.2")

# Dollars for what is asked here.
FLASH = len(HELLO) * Decimal(50) / 1_000_000
AURA_2 = len(HELLO) * Decimal(30) / 1_000_000
ORPHEUS_USD = len(HELLO) * Decimal(22) / 1_000_000
SCRIBE = Decimal("0.22") * Decimal("2.5") / 3600
NOVA_3 = Decimal("0.0077") * Decimal("2.5") / 60
# Ten seconds at least.
WHISPER = Decimal("0.111") * 10 / 3600
LIVE_SCRIBE = Decimal("0.39") * SPOKEN_S / 3600
LIVE_NOVA_3 = Decimal("0.0077") * SPOKEN_S / 60
# Six seconds at least.
CALL = Decimal("0.005")


@pytest.fixture(scope="module")
def speech():
    """Samples of what the scripted vendors understand as three words."""
    pause = bytes(RATE * 60 // 500)
    words = [struct.pack("<h", 2000 + 8 * number) * (RATE * 340 // 1000) + pause for number in (1, 2, 3)]
    return b"".join(words) + bytes(2 * RATE)


@pytest.fixture(scope="module")
def connections():
    """HTTP connections that are closed at the end, which two of the SDKs leave to their owner."""
    with httpx.Client(timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture(scope="module")
def eleven(gateway, connections):
    return elevenlabs.ElevenLabs(base_url=f"{gateway.url}/elevenlabs", api_key=KEY, httpx_client=connections)


@pytest.fixture(scope="module")
def deep(gateway, connections):
    rest = f"{gateway.url}/deepgram"
    sockets = rest.replace("http", "ws", 1)
    places = DeepgramClientEnvironment(base=rest, production=sockets, agent=sockets, agent_rest=rest)
    return deepgram.DeepgramClient(api_key=KEY, environment=places, httpx_client=connections)


@pytest.fixture(scope="module")
def grok(gateway):
    with groq.Groq(base_url=f"{gateway.url}/groq", api_key=KEY, max_retries=0, timeout=PATIENCE_S) as client:
        yield client


def pieces(pcm):
    """Samples as a microphone has them, 100 ms at a time."""
    return [pcm[start : start + RATE // 5] for start in range(0, len(pcm), RATE // 5)]


def check(client, headers, usd, operation, provider, model):
    """The one record of what was answered with these headers."""
    [record] = records(client, headers["x-request-id"])
    told = [record[name] for name in ("operation", "provider", "model", "status")]
    assert told == [operation, provider, model, "ok"]
    assert Decimal(record["cost_usd"]) == nano(usd)


def test_elevenlabs_speech(client, eleven):
    asked = {"text": HELLO, "model_id": "eleven_flash_v2_5", "output_format": "pcm_24000"}
    with eleven.text_to_speech.with_raw_response.convert(RACHEL, **asked) as answer:
        audio = b"".join(answer.data)
    assert len(audio) > 48_000
    check(client, answer.headers, FLASH, "speech", "elevenlabs", "eleven_flash_v2_5")


def test_elevenlabs_transcript(client, eleven, tone):
    answer = eleven.speech_to_text.with_raw_response.convert(model_id="scribe_v2", file=tone, tag_audio_events=False)
    assert answer.data.text == SENTENCE and answer.data.words[0].text == SENTENCE.split()[0]
    check(client, answer.headers, SCRIBE, "transcription", "elevenlabs", "scribe_v2")


def test_elevenlabs_live(client, eleven, speech):
    async def listen():
        options = {"model_id": "scribe_v2_realtime", "audio_format": AudioFormat.PCM_16000, "sample_rate": RATE}
        session = await eleven.speech_to_text.realtime.connect(options)
        committed, failed = asyncio.get_running_loop().create_future(), []
        session.on(RealtimeEvents.COMMITTED_TRANSCRIPT, committed.set_result)
        session.on(RealtimeEvents.ERROR, failed.append)
        for piece in pieces(speech):
            await session.send({"audio_base_64": base64.b64encode(piece).decode()})
        await session.commit()
        text = (await asyncio.wait_for(committed, PATIENCE_S))["text"]
        await session.close()
        assert failed == []
        return text, session.websocket.response.headers

    text, headers = asyncio.run(listen())
    assert text.split() == WORDS
    check(client, headers, LIVE_SCRIBE, "realtime", "elevenlabs", "scribe_v2_realtime")


def test_elevenlabs_error(gateway, connections):
    nobody = "sk-of-nobody-at-all-0000"
    stranger = elevenlabs.ElevenLabs(base_url=f"{gateway.url}/elevenlabs", api_key=nobody, httpx_client=connections)
    with pytest.raises(elevenlabs.core.ApiError) as failed:
        b"".join(stranger.text_to_speech.convert(RACHEL, text=HELLO))
    assert failed.value.status_code == 401 and failed.value.body["detail"]["code"] == "invalid_api_key"


def test_deepgram_speech(client, deep):
    with deep.speak.v1.audio.with_raw_response.generate(text=HELLO, model=VOICE, encoding="linear16") as answer:
        audio = b"".join(answer.data)
    assert audio.startswith(b"RIFF") and answer.headers["dg-char-count"] == str(len(HELLO))
    check(client, answer.headers, AURA_2, "speech", "deepgram", VOICE)


def test_deepgram_transcript(client, deep, tone):
    asked = {"request": tone[1], "model": "nova-3", "smart_format": True, "utterances": True}
    answer = deep.listen.v1.media.with_raw_response.transcribe_file(**asked)
    [channel] = answer.data.results.channels
    assert channel.alternatives[0].transcript == SENTENCE
    check(client, answer.headers, NOVA_3, "transcription", "deepgram", "nova-3")


def test_deepgram_live(client, deep, speech):
    with deep.listen.v1.connect(model="nova-3", encoding="linear16", sample_rate=RATE, interim_results=True) as session:
        for piece in pieces(speech):
            session.send_media(piece)
        session.send_close_stream()
        messages = list(session)
        headers = session._websocket.response.headers
    final = [message for message in messages if message.type == "Results" and message.is_final]
    assert " ".join(message.channel.alternatives[0].transcript for message in final).split() == WORDS
    assert messages[-1].type == "Metadata"
    check(client, headers, LIVE_NOVA_3, "realtime", "deepgram", "nova-3")


def test_groq_speech(client, grok):
    asked = {"model": ORPHEUS, "voice": "troy", "input": HELLO, "response_format": "wav"}
    answer = grok.audio.speech.with_raw_response.create(**asked)
    assert answer.read().startswith(b"RIFF")
    check(client, answer.headers, ORPHEUS_USD, "speech", "groq", ORPHEUS)


def test_groq_transcript(client, grok, tone):
    answer = grok.audio.transcriptions.with_raw_response.create(model="whisper-large-v3", file=tone)
    assert answer.parse().text.strip() == SENTENCE
    check(client, answer.headers, WHISPER, "transcription", "groq", "whisper-large-v3")


def make_call(gateway, medium):
    """Asks for a call as Ultravox's documentation does, with an HTTP client."""
    body = {"systemPrompt": "Be brief.", "firstSpeakerSettings": {"user": {}}, **medium}
    headers = {"X-API-Key": KEY, "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{gateway.url}/ultravox/api/calls", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(asked) as answer:
        return answer.status, json.load(answer)


def test_ultravox_call(client, gateway, speech):
    medium = {"medium": {"serverWebSocket": {"inputSampleRate": RATE, "outputSampleRate": RATE}}}
    status, call = make_call(gateway, medium)
    place = urllib.parse.urlsplit(call["joinUrl"])
    assert status == 201 and f"ws://{place.netloc}" == gateway.url.replace("http", "ws", 1)
    # What the vendor's SDKs add to the address.
    join = f"{call['joinUrl']}&clientVersion=python_0.1.0&apiVersion=1"
    with websockets.sync.client.connect(join) as session:
        for piece in pieces(speech):
            session.send(piece)
        seen, sound = [], 0
        while not (seen and seen[-1]["type"] == "transcript" and seen[-1]["role"] == "agent" and seen[-1]["final"]):
            message = session.recv(PATIENCE_S)
            if isinstance(message, bytes):
                sound += len(message)
            else:
                seen.append(json.loads(message))
        session.send(json.dumps({"type": "hang_up"}))
        list(session)
        assert session.close_code == 1000
        headers = session.response.headers
    assert seen[0] == {"type": "call_started", "callId": call["callId"]}
    [heard] = [message for message in seen if message["type"] == "transcript" and message["role"] == "user"]
    assert heard["text"].split() == WORDS and sound > 0
    check(client, headers, CALL, "realtime", "ultravox", "ultravox-v0.7")
    # A call is joined once, as the vendor tells by a code of its own.
    with websockets.sync.client.connect(join) as again, pytest.raises(websockets.exceptions.ConnectionClosedError):
        again.recv(PATIENCE_S)
    assert again.close_code == 4404


@pytest.mark.parametrize("medium", [{"twilio": {}}, {"sip": {"incoming": {}}}])
def test_a_call_that_is_not_joined_by_a_socket_is_not_made(gateway, medium):
    with pytest.raises(urllib.error.HTTPError) as failed:
        make_call(gateway, {"medium": medium})
    assert failed.value.code == 400 and "serverWebSocket" in json.load(failed.value)["medium"][0]


def test_node_sdks(folder, gateway, tone, speech, tmp_path):
    (tmp_path / "speech.pcm").write_bytes(speech)
    (tmp_path / "tone.wav").write_bytes(tone[1])
    run_node("vendors.test.mjs", gateway, conftest.NODE_SDKS, ANTIPHON_TONE=str(tmp_path / "tone.wav"))
    wanted = [
        ("deepgram", "realtime", "nova-3", LIVE_NOVA_3),
        ("deepgram", "speech", VOICE, AURA_2),
        ("deepgram", "transcription", "nova-3", NOVA_3),
        ("elevenlabs", "realtime", "scribe_v2_realtime", LIVE_SCRIBE),
        ("elevenlabs", "speech", "eleven_flash_v2_5", FLASH),
        ("elevenlabs", "transcription", "scribe_v2", SCRIBE),
        ("groq", "speech", ORPHEUS, ORPHEUS_USD),
        ("groq", "transcription", "whisper-large-v3", WHISPER),
    ]
    told = "select provider, operation, model_served, cost_nano_usd from usage_records" \
        " join virtual_keys on virtual_keys.id = key_id where virtual_keys.name = 'node' order by 1, 2"

    def written():
        with sqlite3.connect(folder / "data" / "antiphon.db") as database:
            rows = database.execute(told).fetchall()
        return rows if len(rows) >= len(wanted) else None

    assert wait_for(written) == [(*what, int(nano(usd) * 10**9)) for *what, usd in wanted]
