"""Usage records are exact under crashes: the gateway is killed in the middle of its work, 20 times.

Speech, transcription and both kinds of realtime sessions go on at once while it is killed. Each call carries a serial
number, to the provider in what it asks and to the usage record as its user, so that the two can be
laid side by side: what the provider had whole, and bills, has exactly one record with exactly its
cost, and nothing else has one, but for a thread that is killed between two system calls. The record of a call in flight at a kill says so (`client_closed`); that
of a turn of a session, whose usage nobody has heard of, has no cost.
"""

import base64
import collections
import http.client
import itertools
import json
import random
import signal
import sqlite3
import threading
import time
import urllib.parse
import urllib.request

import websockets.exceptions
import websockets.sync.client
from conftest import KEY, PATIENCE_S, SCRIPTED, Gateway, Upstream, wait_for, wav_of

ROUNDS = 20
# A call is noted by one system call and its last bytes are sent by the next: a thread that is killed
# between the two leaves the note of a call that its provider never had whole. Most runs have none of
# these; a machine with more to do than it has cores stops a thread there now and then.
BETWEEN_TWO_CALLS = 3
# As many of each kind.
CLIENTS_OF_A_KIND = 2
LONGEST_S = 4
TURNS = 6
UTTERANCE_MS = 300

# One US dollar for a million is a thousand nano-dollars for one.
SPEECH_PER_CHARACTER = 15_000
TRANSCRIPTION_PER_MS = 100
# 1.7 cents a minute.
UTTERANCE = 85_000
TEXT_IN, AUDIO_IN, TEXT_OUT = 4_000, 32_000, 16_000
# A turn of the scripted provider hears 12 tokens of text beside the audio.
TURN_TEXT_IN = 12

RECORDINGS = [wav_of(bytes(32_000 * seconds), 16_000) for seconds in range(1, LONGEST_S + 1)]
UTTERANCES = [base64.b64encode(bytes(48 * UTTERANCE_MS * times)).decode() for times in range(1, 6)]
BOUNDARY = "a-boundary-that-no-recording-has"
GONE = (OSError, http.client.HTTPException, websockets.exceptions.WebSocketException)


class Client(threading.Thread):
    """Calls over and over until the gateway is killed."""

    def __init__(self, url, serials):
        super().__init__(daemon=True)
        self.address = urllib.parse.urlsplit(url).netloc
        self.serials = serials
        self.ended = threading.Event()
        # Serial numbers of the calls that were answered whole, and of the one that was not.
        self.answered = []
        self.in_flight = None

    def run(self):
        while not self.ended.is_set():
            self.in_flight = str(next(self.serials))
            try:
                self.call(self.in_flight)
            except GONE:
                return
            self.answered.append(self.in_flight)
            self.in_flight = None

    def post(self, serial, path, content_type, body):
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": content_type, "x-antiphon-user": serial}
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            told = answer.read()
            assert answer.status == 200, told
        finally:
            connection.close()


class Speech(Client):
    def call(self, serial):
        text = f"serial:{serial} " + "word " * (int(serial) % 30)
        body = {"model": "openai/tts-1", "voice": "alloy", "input": text, "response_format": "mp3"}
        self.post(serial, "/v1/audio/speech", "application/json", json.dumps(body))


class Transcription(Client):
    def call(self, serial):
        fields = {"model": "openai/whisper-1", "prompt": f"serial:{serial}"}
        form = "".join(
            f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        )
        form += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        form += "Content-Type: audio/wav\r\n\r\n"
        recording = RECORDINGS[int(serial) % LONGEST_S]
        body = form.encode() + recording + f"\r\n--{BOUNDARY}--\r\n".encode()
        self.post(serial, "/v1/audio/transcriptions", f"multipart/form-data; boundary={BOUNDARY}", body)


class Realtime(Client):
    """A call is a session of some turns here; the turn in flight is noted with its number."""

    query = "model=openai/gpt-realtime"
    ends = "response.done"

    def call(self, serial):
        headers = {"Authorization": f"Bearer {KEY}", "x-antiphon-user": serial}
        url = f"ws://{self.address}/v1/realtime?{self.query}"
        with websockets.sync.client.connect(url, additional_headers=headers, open_timeout=PATIENCE_S) as session:
            for turn in range(TURNS):
                self.in_flight = f"{serial}-{turn}"
                self.turn(session, self.in_flight, UTTERANCES[(int(serial) + turn) % len(UTTERANCES)])
                self.answered.append(self.in_flight)
            self.in_flight = None

    def run(self):
        super().run()
        # Of a session only the turns are calls.
        self.answered = [serial for serial in self.answered if serial and "-" in serial]

    def turn(self, session, serial, utterance):
        for event in self.events(serial, utterance):
            session.send(json.dumps(event))
        while json.loads(session.recv(timeout=PATIENCE_S))["type"] != self.ends:
            pass

    def events(self, serial, utterance):
        yield {"type": "input_audio_buffer.append", "audio": utterance}
        yield {"type": "input_audio_buffer.commit"}
        asked = {"output_modalities": ["text"], "instructions": f"serial:{serial}"}
        yield {"type": "response.create", "response": asked}


class Dictation(Realtime):
    """A session that only transcribes: its turns are utterances."""

    query = "intent=transcription"
    ends = "conversation.item.input_audio_transcription.completed"

    def events(self, serial, utterance):
        transcription = {"model": "openai/gpt-realtime-whisper", "prompt": f"serial:{serial}"}
        configured = {"type": "transcription", "audio": {"input": {"transcription": transcription}}}
        yield {"type": "session.update", "session": configured}
        yield {"type": "input_audio_buffer.append", "audio": utterance}
        yield {"type": "input_audio_buffer.commit"}


KINDS = {
    "audio/speech": Speech,
    "audio/transcriptions": Transcription,
    "realtime": Realtime,
    "realtime transcription": Dictation,
}


def cost_of(path, used):
    """What the provider's own count of a call costs."""
    if path == "audio/speech":
        return used["characters"] * SPEECH_PER_CHARACTER
    if path == "audio/transcriptions":
        return used["audio_in_ms"] * TRANSCRIPTION_PER_MS
    if path == "realtime transcription":
        return used["audio_in_ms"] // UTTERANCE_MS * UTTERANCE
    audio_in = used["tokens_in"] - TURN_TEXT_IN
    return TURN_TEXT_IN * TEXT_IN + audio_in * AUDIO_IN + used["tokens_out"] * TEXT_OUT


def path_of(count):
    """Transcription sessions apart from the others."""
    return "realtime transcription" if count["model"] == "transcription" else count["path"]


def read_rows(path):
    """The records, by the serial number of their call."""
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        rows = collections.defaultdict(list)
        for row in database.execute("select * from usage_records"):
            in_session = row["operation"] == "realtime"
            rows[f"{row['user_tag']}-{row['sequence']}" if in_session else row["user_tag"]].append(row)
        return rows


def test_a_killed_gateway_loses_no_record_and_writes_none_twice(tmp_path):
    chance = random.Random(20261121)
    serials = itertools.count(1)
    openai = Upstream("openai", tmp_path)
    upstreams = dict.fromkeys(SCRIPTED, openai)
    answered, in_flight = set(), set()
    # At some pace, so that a turn is likely to be in flight at a kill.
    openai.script("realtime", times=1_000_000, chunk_ms=1)
    try:
        for _ in range(ROUNDS):
            gateway = Gateway(tmp_path, upstreams)
            clients = [kind(gateway.url, serials) for kind in KINDS.values() for _ in range(CLIENTS_OF_A_KIND)]
            for client in clients:
                client.start()
            # The moment of the kill is what is random here; nothing is waited for.
            time.sleep(chance.uniform(0.05, 0.4))
            gateway.stop(signal.SIGKILL)
            for client in clients:
                client.ended.set()
                client.join()
                answered.update(client.answered)
                in_flight.add(client.in_flight)
        gateway = Gateway(tmp_path, upstreams)

        def replayed():
            with urllib.request.urlopen(gateway.url + "/readyz") as answer:
                return json.load(answer)["journal"]["pending_records"] == 0 or None

        wait_for(replayed)
        assert gateway.stop(signal.SIGTERM) == 0
        counts = openai._control("GET", "/_counts")
    finally:
        openai.stop(signal.SIGINT)

    fates = counts["serials"]
    rows = read_rows(tmp_path / "data" / "antiphon.db")
    accepted = {serial for serial, fate in fates.items() if fate["accepted"]["answers"]}
    assert all(fate["accepted"]["answers"] == 1 for fate in fates.values()), "each serial number was asked for once"
    for path in KINDS:
        calls = sum(count["accepted"]["answers"] for count in counts["by"] if path_of(count) == path)
        mine = {serial for serial in accepted if fates[serial]["path"] == path}
        assert len(mine) == calls > ROUNDS, f"{path} was served between the kills, and each call is known"

    assert all(len(same) == 1 for same in rows.values()), "no call has two records"
    assert not accepted - set(rows), "what the provider had whole has a record"
    unsent = set(rows) - accepted
    assert len(unsent) <= BETWEEN_TWO_CALLS, f"nothing else has one: {unsent}"

    cut_short = {serial for serial, (row,) in rows.items() if row["status"] == "client_closed"}
    assert cut_short - unsent and cut_short <= in_flight, "in flight at a kill"
    assert unsent <= cut_short and not unsent & answered
    assert all(rows[serial][0]["status"] == "ok" for serial in answered), "a client had nothing before its record"
    unpriced = {serial for serial, (row,) in rows.items() if row["cost_nano_usd"] is None}
    assert unpriced <= cut_short, "a turn whose usage never came is not free"
    assert all(fates[serial]["path"].startswith("realtime") for serial in unpriced - unsent), "the others are counted here"
    for serial in accepted - unpriced:
        row, path, asked = rows[serial][0], fates[serial]["path"], fates[serial]["accepted"]
        assert row["cost_nano_usd"] == cost_of(path, asked), serial
        assert row["characters"] == (asked["characters"] if path == "audio/speech" else 0)
        assert serial not in cut_short or row["usage_source"] == "measured", "and says how that is known"
