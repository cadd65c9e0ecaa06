"""A gateway that is told to stop in the middle of its work: many live sessions and steady HTTP load."""

import asyncio
import contextlib
import json
import signal

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from conftest import KEY, PATIENCE_S, Gateway, recorded, wait_for

SESSIONS = 500
# So many of the sessions are in the middle of a turn at any time.
TALKING = 10
CALLERS, LONG_CALLS = 16, 8
# A long story takes about so long; its length is what must arrive.
STORY_PIECES, PIECE_BYTES, PIECE_MS = 40, 8_000, 100
STORY = f"script:bytes={STORY_PIECES * PIECE_BYTES} script:chunk_bytes={PIECE_BYTES} script:chunk_ms={PIECE_MS}"
VOICE_MODEL = "openai/gpt-realtime-2.1"
BEARER = {"authorization": f"Bearer {KEY}"}


class Session:
    """One conversation, up to the gateway's goodbye."""

    def __init__(self, talks):
        self.talks = talks
        self.last, self.closed = None, None

    async def hold(self, url, ready):
        address = f"{url.replace('http', 'ws')}/v1/realtime?model={VOICE_MODEL}"
        async with connect(address, additional_headers=BEARER, open_timeout=60, max_size=None) as socket:
            assert json.loads(await socket.recv())["type"] == "session.created"
            ready.release()
            try:
                while True:
                    if self.talks and (self.last is None or self.last["type"] == "response.done"):
                        await self.respond(socket)
                    self.last = json.loads(await socket.recv())
            except ConnectionClosed as closed:
                self.closed = closed.rcvd

    async def respond(self, socket):
        with contextlib.suppress(ConnectionClosed):
            # Refused as soon as the goodbye has come, before what came with it was read.
            await socket.send('{"type":"response.create"}')


async def keep_calling(url, client, answers):
    """One call after the other; the gateway says when to go elsewhere."""
    body = {"model": "openai/tts-1", "voice": "alloy", "input": "Hello.", "response_format": "pcm"}
    while True:
        answer = await client.post(f"{url}/v1/audio/speech", json=body)
        answers.append(answer)
        if answer.status_code != 200:
            return


async def tell_story(url, client):
    body = {"model": "openai/tts-1", "voice": "alloy", "input": STORY, "response_format": "pcm"}
    async with client.stream("POST", f"{url}/v1/audio/speech", json=body) as answer:
        heard = sum([len(piece) async for piece in answer.aiter_bytes()])
        return answer.status_code, answer.headers["x-request-id"], heard


async def stop_in_the_middle(gateway):
    """What sessions, callers and listeners have seen of a gateway that is stopped while all are at work."""
    sessions = [Session(number < TALKING) for number in range(SESSIONS)]
    ready, answers = asyncio.Semaphore(0), []
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(headers=BEARER, timeout=PATIENCE_S, limits=limits) as client:
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(session.hold(gateway.url, ready)) for session in sessions]
            for _ in sessions:
                await ready.acquire()
            callers = [group.create_task(keep_calling(gateway.url, client, answers)) for _ in range(CALLERS)]
            stories = [group.create_task(tell_story(gateway.url, client)) for _ in range(LONG_CALLS)]
            while len(answers) < 2 * CALLERS:
                await asyncio.sleep(0.05)
            gateway.process.send_signal(signal.SIGTERM)
            await asyncio.gather(*held, *callers, *stories)
    return sessions, answers, [story.result() for story in stories]


def test_nothing_in_flight_is_cut_and_every_session_is_told(tmp_path, all_upstreams):
    gateway = Gateway(tmp_path, all_upstreams, "timeouts: { drain: 16s }\n")
    sessions, answers, stories = asyncio.run(stop_in_the_middle(gateway))
    assert gateway.process.wait(PATIENCE_S) == 0
    log = gateway.log.read_text()
    assert "still open" not in log and "stay in the journal" not in log and "panicked" not in log, log

    assert len(sessions) == SESSIONS
    for session in sessions:
        assert session.last["type"] == "error" and session.last["error"]["code"] == "server_draining", session.last
        assert session.closed.code == 1001, session.closed
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == CALLERS, "each caller is told once to go elsewhere"
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
    assert all(answer.content for answer in served)
    assert {(status, length) for status, _, length in stories} == {(200, STORY_PIECES * PIECE_BYTES)}

    again = Gateway(tmp_path, all_upstreams)
    with again.client() as client:
        for request in [answer.headers["x-request-id"] for answer in served] + [story[1] for story in stories]:
            records = client.get(f"/usage/{request}", cast_to=object)["data"]
            assert [record["status"] for record in records] == ["ok"]
    assert again.stop(signal.SIGTERM) == 0


def not_ready(gateway):
    answer = httpx2.get(gateway.url + "/readyz", timeout=PATIENCE_S)
    return answer if answer.status_code == 503 else None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_leaves_at_once_and_loses_nothing(tmp_path, all_upstreams, number):
    gateway = Gateway(tmp_path, all_upstreams, "timeouts: { drain: 1h }\n")
    endless = {"model": "openai/tts-1", "voice": "alloy", "input": f"script:bytes={1 << 30}", "response_format": "pcm"}

    async def told():
        session, ready = Session(talks=False), asyncio.Semaphore(0)
        async with httpx2.AsyncClient(headers=BEARER, timeout=PATIENCE_S) as client:
            held = asyncio.create_task(session.hold(gateway.url, ready))
            await ready.acquire()
            async with client.stream("POST", f"{gateway.url}/v1/audio/speech", json=endless) as answer:
                pieces = answer.aiter_bytes(65536)
                assert await anext(pieces)
                gateway.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(wait_for, lambda: not_ready(gateway))
                gateway.process.send_signal(number)
                await held
                with pytest.raises(httpx2.HTTPError):
                    async for _ in pieces:
                        pass
                return session, answer.headers["x-request-id"]

    session, request = asyncio.run(told())
    assert session.last["error"]["code"] == "server_draining"
    assert session.closed.code == 1001
    assert gateway.process.wait(PATIENCE_S) == 128 + number
    assert "panicked" not in gateway.log.read_text()
    again = Gateway(tmp_path, all_upstreams)
    with again.client() as client:
        records = recorded(client, request)
        assert [record["status"] for record in records] == ["ended_by_policy"]
    assert again.stop(signal.SIGTERM) == 0


def test_while_it_is_taken_out_of_rotation_new_connections_are_served(tmp_path, all_upstreams):
    gateway = Gateway(tmp_path, all_upstreams, "timeouts: { drain_delay: 1h }\n")
    try:
        gateway.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not_ready(gateway))
        assert httpx2.get(gateway.url + "/healthz", timeout=PATIENCE_S).status_code == 200
        document = gateway.admin_url + "/api/v1/openapi.json"
        assert httpx2.get(document, timeout=PATIENCE_S).status_code == 200
        asked = {"headers": BEARER, "json": {"model": "openai/tts-1", "voice": "alloy", "input": "Hello."}}
        assert httpx2.post(gateway.url + "/v1/audio/speech", **asked, timeout=PATIENCE_S).status_code == 200
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    finally:
        gateway.process.kill()
        gateway.process.wait()
