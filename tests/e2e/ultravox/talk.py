"""Ultravox's own client SDK in a call: it says something, hears the answer, writes, and leaves.

    talk.py JOIN_URL    prints what happened as one line of JSON
"""

import asyncio
import json
import math
import struct
import sys

from ultravox_client import AudioSink, AudioSource, UltravoxSession

RATE = 48_000
PATIENCE_S = 20


def tone(ms):
    samples = (round(8_000 * math.sin(step * 300 * 2 * math.pi / RATE)) for step in range(RATE * ms // 1000))
    return b"".join(struct.pack("<h", sample) for sample in samples)


class Microphone(AudioSource):
    """Silence, and what was put before it. That goes at once, so that no pause of this program breaks it."""

    def __init__(self):
        super().__init__(sample_rate=RATE, num_channels=1)
        self.waiting = b""

    async def stream(self):
        step = RATE // 100 * 2
        while True:
            said, self.waiting = self.waiting, b""
            yield said or bytes(step)
            await asyncio.sleep(0.01)


class Speaker(AudioSink):
    """Counts what is loud."""

    def __init__(self):
        super().__init__(sample_rate=RATE, num_channels=1)
        self.loud_ms = 0
        self.closed = False

    def write(self, data):
        samples = memoryview(data).cast("h")
        self.loud_ms += (max(map(abs, samples), default=0) > 1_000) * len(samples) * 1000 // RATE

    async def close(self):
        self.closed = True


async def until(what):
    while not what():
        await asyncio.sleep(0.02)


async def talk(join_url):
    session, microphone, speaker = UltravoxSession(), Microphone(), Speaker()
    statuses, finals = [], lambda: [said for said in session.transcripts if said.final]
    session.on("status", lambda: statuses.append(session.status.name))
    await session.join_call(join_url, source=microphone, sink=speaker)
    listens = lambda: session.status.name == "LISTENING"
    async with asyncio.timeout(PATIENCE_S):
        await until(listens)
        microphone.waiting = tone(500)
        await until(lambda: len(finals()) == 2 and listens())
        await session.send_text("Good bye.")
        await until(lambda: len(finals()) == 4 and listens())
    await session.leave_call()
    told = [(said.speaker, said.medium, said.text) for said in session.transcripts]
    print(json.dumps({"statuses": statuses, "transcripts": told, "loud_ms": speaker.loud_ms, "closed": speaker.closed}))


if __name__ == "__main__":
    asyncio.run(talk(sys.argv[1]))
