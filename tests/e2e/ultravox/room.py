"""A scripted LiveKit room with an agent in it, for one client with LiveKit's own native library.

It speaks as much of LiveKit's signalling as that library needs: one connection that the room offers (what the
agent says, in sound and data) and one that the client offers (its microphone and its data). The agent is
Ultravox's, as Ultravox's client SDKs hear it: `state` and `transcript` messages. It answers each utterance,
spoken or written, with one sentence.

    room.py TOKEN    prints the room's address, then a line of JSON about each client that has left
"""

import asyncio
import contextlib
import fractions
import json
import math
import struct
import sys
import urllib.parse

import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp
from livekit.protocol import models, rtc
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosedError

RATE = 48_000
# Samples of one packet, 20 ms.
STEP = RATE // 50
# The agent's voice: packets of a tone.
REPLY_STEPS = 25
TONE = b"".join(struct.pack("<h", round(8_000 * math.sin(n * 500 * 2 * math.pi / RATE))) for n in range(STEP))
REPLY = "Hello from the scripted room."
HEARD = "somebody spoke"
# Louder than any noise of the codec.
LOUD = 1_000
# Packets that are not loud before an utterance is over.
QUIET_STEPS = 20
AGENT, CLIENT, VOICE, MICROPHONE = "PA_agent", "PA_client", "TR_voice", "TR_microphone"


class Voice(MediaStreamTrack):
    """Silence, and a tone while the agent speaks."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.speaking = 0
        self.sent = 0
        self.begun = None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.begun = self.begun or loop.time()
        await asyncio.sleep(max(0, self.begun + self.sent / RATE - loop.time()))
        frame = av.AudioFrame(format="s16", layout="mono", samples=STEP)
        frame.planes[0].update(TONE if self.speaking else bytes(len(TONE)))
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.sent, fractions.Fraction(1, RATE)
        self.speaking = max(0, self.speaking - 1)
        self.sent += STEP
        return frame


class Visit:
    """One client in the room."""

    def __init__(self, socket):
        self.socket = socket
        self.down, self.up = RTCPeerConnection(), RTCPeerConnection()
        self.voice = Voice()
        self.opened = asyncio.Event()
        self.says = self.listening = self.answering = None
        self.ordinal = 0
        self.seen = {"loud_ms": 0, "messages": [], "left": False}
        self.up.on("track", self.listen)
        self.up.on("datachannel", self.open)

    async def tell(self, **said):
        await self.socket.send(rtc.SignalResponse(**said).SerializeToString())

    async def welcome(self):
        """Lets the client in, and offers it the agent's voice and messages."""
        voice = models.TrackInfo(sid=VOICE, type=models.AUDIO, name="voice", source=models.MICROPHONE)
        agent = models.ParticipantInfo(sid=AGENT, identity="agent", state=models.ParticipantInfo.ACTIVE, tracks=[voice])
        client = models.ParticipantInfo(sid=CLIENT, identity="client", state=models.ParticipantInfo.JOINED)
        client.permission.CopyFrom(
            models.ParticipantPermission(can_subscribe=True, can_publish=True, can_publish_data=True)
        )
        await self.tell(
            join=rtc.JoinResponse(
                room=models.Room(sid="RM_room", name="room"),
                participant=client,
                other_participants=[agent],
                subscriber_primary=True,
                ping_interval=10,
                ping_timeout=20,
                server_info=models.ServerInfo(version="1.8.0", protocol=15),
            )
        )
        self.says = self.down.createDataChannel("_reliable")
        self.says.on("open", self.opened.set)
        sender = self.down.addTrack(self.voice)
        # By these two names the client knows whose voice it is.
        sender._stream_id, sender._track_id = f"{AGENT}|{VOICE}", VOICE
        await self.down.setLocalDescription(await self.down.createOffer())
        await self.tell(offer=rtc.SessionDescription(type="offer", sdp=self.down.localDescription.sdp))

    def say(self, message):
        payload = json.dumps(message).encode()
        user = models.UserPacket(participant_sid=AGENT, participant_identity="agent", payload=payload)
        self.says.send(models.DataPacket(user=user).SerializeToString())

    def transcript(self, role, medium, final=True, **said):
        self.say(
            {"type": "transcript", "role": role, "medium": medium, "final": final, "ordinal": self.ordinal, **said}
        )
        self.ordinal += final

    async def answer(self, medium, said):
        """A turn: what the client said, and the agent's sentence in words and sound."""
        self.say({"type": "state", "state": "thinking"})
        self.transcript("user", medium, text=said)
        self.say({"type": "state", "state": "speaking"})
        self.voice.speaking = REPLY_STEPS
        self.transcript("agent", "voice", final=False, delta=REPLY.split()[0])
        while self.voice.speaking:
            await asyncio.sleep(STEP / RATE)
        self.transcript("agent", "voice", text=REPLY)
        self.say({"type": "state", "state": "listening"})

    def open(self, channel):
        channel.on("message", self.hear)

    def hear(self, packet):
        """A message of the client's, as Ultravox takes them."""
        message = json.loads(models.DataPacket.FromString(packet).user.payload)
        self.seen["messages"].append(message)
        if message["type"] == "input_text_message":
            self.answering = asyncio.create_task(self.answer("text", message["text"]))

    def listen(self, track):
        self.listening = asyncio.create_task(self.follow(track))

    async def follow(self, track):
        """Listens once there is something to hear, and answers what is said into the microphone."""
        await track.recv()
        await self.opened.wait()
        self.say({"type": "state", "state": "listening"})
        heard, quiet = False, 0
        while True:
            frame = await track.recv()
            samples = memoryview(bytes(frame.planes[0])).cast("h")
            loud = max(map(abs, samples)) > LOUD
            self.seen["loud_ms"] += 1000 * frame.samples // frame.sample_rate * loud
            heard, quiet = heard or loud, 0 if loud else quiet + 1
            if heard and quiet == QUIET_STEPS:
                heard = False
                await self.answer("voice", HEARD)

    async def handle(self, asked):
        """One message of the client's about the connections."""
        match asked.WhichOneof("message"):
            case "answer":
                await self.down.setRemoteDescription(RTCSessionDescription(asked.answer.sdp, "answer"))
            case "offer":
                await self.up.setRemoteDescription(RTCSessionDescription(asked.offer.sdp, "offer"))
                await self.up.setLocalDescription(await self.up.createAnswer())
                await self.tell(answer=rtc.SessionDescription(type="answer", sdp=self.up.localDescription.sdp))
            case "trickle":
                told = json.loads(asked.trickle.candidateInit)
                connection = self.up if asked.trickle.target == rtc.PUBLISHER else self.down
                if told["candidate"]:
                    candidate = candidate_from_sdp(told["candidate"].removeprefix("candidate:"))
                    candidate.sdpMid, candidate.sdpMLineIndex = told["sdpMid"], told["sdpMLineIndex"]
                    await connection.addIceCandidate(candidate)
            case "add_track":
                track = models.TrackInfo(
                    sid=MICROPHONE, type=models.AUDIO, name=asked.add_track.name, source=asked.add_track.source
                )
                await self.tell(track_published=rtc.TrackPublishedResponse(cid=asked.add_track.cid, track=track))
            case "ping_req":
                await self.tell(pong_resp=rtc.Pong(last_ping_timestamp=asked.ping_req.timestamp))
            case "leave":
                self.seen["left"] = True

    async def leave(self):
        for task in (self.listening, self.answering):
            task and task.cancel()
        await self.down.close()
        await self.up.close()


async def visit(socket, token):
    place = urllib.parse.urlsplit(socket.request.path)
    if urllib.parse.parse_qs(place.query).get("access_token") != [token]:
        await socket.close(1008, "this token opens nothing")
        return
    guest = Visit(socket)
    await guest.welcome()
    with contextlib.suppress(ConnectionClosedError):
        async for message in socket:
            await guest.handle(rtc.SignalRequest.FromString(message))
    await guest.leave()
    print(json.dumps(guest.seen), flush=True)


async def main(token):
    async with serve(lambda socket: visit(socket, token), "127.0.0.1", 0) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
