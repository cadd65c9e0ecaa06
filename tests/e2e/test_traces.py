"""A collector gets metrics, and complete traces: of one transcription, one speech and one conversation with a tool, over
gRPC and over HTTP; and what is nobody's business is in none of them."""

import json
import signal
import socket
import types

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from collector import Grpc, Http, values_of
from conftest import KEY, Gateway, LiveGateway, wait_for
from strict_client import Talk, calls_of, text_of
from test_conversations import CONFIG as CONVERSATIONS
from test_conversations import MODELS, TOOLS

SERVER, CLIENT = 2, 3
CALLER = "0af7651916cd43dd8448eb211c80319c"
CALLERS_SPAN = "b7ad6b7169203331"
TOKEN = "token-of-the-collector"
SAID = "Nobody but the provider hears this."


@pytest.fixture(params=[Grpc, Http], ids=["grpc", "http"])
def collector(request):
    collector = request.param()
    collector.protocol = request.param.__name__.lower()
    yield collector
    collector.stop()


def telemetry(collector, more=""):
    return (
        f'telemetry:\n  format: json\n  otlp:\n    endpoint: "{collector.url}"\n    protocol: {collector.protocol}\n'
        f"    headers: {{ x-token: {TOKEN} }}\n    resource: {{ deployment.environment.name: tests }}\n{more}"
    )


@pytest.fixture
def traced(tmp_path, all_upstreams, collector):
    """A gateway that tells the collector; what it has not sent yet it sends when it stops."""
    gateway = Gateway(tmp_path, all_upstreams, telemetry(collector, "    propagate_to: [own]\n"))
    gateway.collector = collector
    yield gateway
    if gateway.process.poll() is None:
        assert gateway.stop(signal.SIGTERM) == 0
    log = gateway.log.read_text()
    assert TOKEN not in log and "panicked" not in log
    assert not [span for span in collector.spans if SAID in repr(span) or KEY in repr(span)]


def check_attempt(trace, attempt, **expected):
    assert attempt.kind == CLIENT
    told = {**expected, "server.address": "127.0.0.1"}
    assert {name: attempt.attributes.get(name) for name in told} == told
    assert trace.below(attempt) == ["send", "wait", "receive"]
    phases = sorted((span for span in trace.spans if span.parent == attempt.id), key=lambda span: span.begin)
    assert phases[0].begin == attempt.begin and phases[-1].end == attempt.end
    assert all(one.end == next.begin for one, next in zip(phases, phases[1:]))


def test_a_speech_is_told_from_its_key_to_its_last_byte(traced):
    with traced.client() as client:
        asked = {"model": "openai/tts-1", "voice": "alloy", "input": SAID}
        response = client.audio.speech.with_raw_response.create(**asked)
    trace = traced.collector.trace("POST /v1/audio/speech")
    root = trace.one("POST /v1/audio/speech")
    assert (root.kind, root.parent) == (SERVER, "")
    assert root.attributes["http.route"] == "/v1/audio/speech"
    assert root.attributes["http.response.status_code"] == 200
    assert root.attributes["antiphon.request.id"] == response.headers["x-request-id"]
    assert root.resource["service.name"] == "antiphon"
    assert root.resource["deployment.environment.name"] == "tests"
    assert {"service.version", "service.instance.id", "host.name"} <= set(root.resource)
    assert trace.below(root) == ["authenticate", "admit", "speech tts-1", "account"]
    attempt = trace.one("speech tts-1")
    check_attempt(trace, attempt, **{
        "gen_ai.operation.name": "speech", "gen_ai.provider.name": "openai", "gen_ai.request.model": "tts-1",
        "gen_ai.output.type": "speech", "antiphon.provider": "openai", "antiphon.record.status": "ok",
        "antiphon.usage.characters": len(SAID),
    })
    record = wait_for(lambda: records(traced, response.headers["x-request-id"]) or None)[0]
    assert attempt.attributes["antiphon.record.id"] == record["id"]
    assert f"{attempt.attributes['antiphon.cost_nano_usd'] / 10**9:.9f}".rstrip("0") == record["cost_usd"].rstrip("0")
    assert not any(span.failed for span in trace.spans)
    trace.check(root)
    assert traced.collector.headers["x-token"] == TOKEN


def records(gateway, request):
    answer = httpx2.get(f"{gateway.url}/v1/usage/{request}", headers={"authorization": f"Bearer {KEY}"})
    return answer.json().get("data") if answer.status_code == 200 else None


def test_a_transcription_that_fails_over_tells_of_both_providers(traced, all_upstreams, tone):
    all_upstreams["openai"].script("/audio/transcriptions", times=1, status=500)
    with traced.client() as client:
        client.audio.transcriptions.create(model="stt", file=tone)
    all_upstreams["openai"].reset()
    trace = traced.collector.trace("POST /v1/audio/transcriptions")
    root = trace.one("POST /v1/audio/transcriptions")
    failed, served = trace.one("transcription whisper-1"), trace.one("transcription whisper-large-v3")
    assert failed.failed and failed.attributes["error.type"] == failed.message == "upstream_error"
    assert failed.end <= served.begin
    check_attempt(trace, served, **{
        "gen_ai.operation.name": "transcription", "gen_ai.provider.name": "groq", "gen_ai.output.type": "text",
        "antiphon.usage.audio_in_ms": 2500,
    })
    assert not root.failed and not served.failed
    trace.check(root)


def test_a_trace_goes_on_where_it_came_from_and_only_where_it_may(traced, all_upstreams):
    headers = {"authorization": f"Bearer {KEY}", "traceparent": f"00-{CALLER}-{CALLERS_SPAN}-01"}
    for model in ("own/any-voice", "openai/tts-1"):
        asked = {"model": model, "voice": "alloy", "input": "Hello."}
        answer = httpx2.post(f"{traced.url}/v1/audio/speech", headers=headers, json=asked)
        assert answer.status_code == 200, answer.text
    not_sampled = headers | {"traceparent": f"00-{CALLER[::-1]}-{CALLERS_SPAN}-00"}
    httpx2.post(f"{traced.url}/v1/audio/speech", headers=not_sampled, json=asked)
    told = [request for request in all_upstreams["self-hosted"].requests() if request["path"].endswith("/speech")][-1]
    kept = [request for request in all_upstreams["openai"].requests() if request["path"].endswith("/speech")][-2:]
    assert all("traceparent" not in dict(request["headers"]) for request in kept)
    assert traced.stop(signal.SIGTERM) == 0
    spans = traced.collector.spans
    assert {span.trace for span in spans} == {CALLER}, "the one that was not sampled has no spans"
    roots = [span for span in spans if span.name == "POST /v1/audio/speech"]
    assert len(roots) == 2 and {span.parent for span in roots} == {CALLERS_SPAN}
    attempt = next(span for span in spans if span.name == "speech any-voice")
    assert dict(told["headers"])["traceparent"] == f"00-{CALLER}-{attempt.id}-01"


def test_a_caller_that_is_not_followed_is_linked_and_does_not_decide(tmp_path, all_upstreams, collector):
    gateway = Gateway(tmp_path, all_upstreams, telemetry(collector, "    follow_callers: false\n"))
    asked = {"model": "openai/tts-1", "voice": "alloy", "input": "Hello."}
    for parent in (f"00-{CALLER}-{CALLERS_SPAN}-00", ""):
        headers = {"authorization": f"Bearer {KEY}"} | ({"traceparent": parent} if parent else {})
        answer = httpx2.post(f"{gateway.url}/v1/audio/speech", headers=headers, json=asked)
        assert answer.status_code == 200, answer.text
    assert gateway.stop(signal.SIGTERM) == 0
    linked, alone = sorted((span for span in collector.spans if span.kind == SERVER), key=lambda span: span.begin)
    assert (linked.links, alone.links) == ([(CALLER, CALLERS_SPAN)], [])
    assert linked.parent == alone.parent == "" and CALLER not in {span.trace for span in collector.spans}


def test_a_call_that_is_refused_says_why(traced):
    answer = httpx2.post(f"{traced.url}/v1/audio/speech", headers={"authorization": "Bearer sk-wrong"}, json={})
    assert answer.status_code == 401
    trace = traced.collector.trace("POST /v1/audio/speech")
    root = trace.one("POST /v1/audio/speech")
    assert root.attributes["error.type"] == "invalid_api_key"
    assert not root.failed, "a fault of the caller's is none of the server's"
    assert root.attributes["http.response.status_code"] == 401
    lines = [json.loads(line) for line in traced.log.read_text().splitlines()]
    refused = next(line for line in lines if line["fields"]["message"] == "refused")
    asked = {"name": "call", "request_id": answer.headers["x-request-id"], "trace_id": root.trace}
    assert refused["span"] == asked, "the log tells which request it was, and of which trace"
    httpx2.get(traced.url + "/readyz")
    httpx2.request("BREW", traced.url + "/nowhere-" + SAID.replace(" ", "-"))
    assert traced.stop(signal.SIGTERM) == 0
    names = {span.name for span in traced.collector.spans}
    assert "_OTHER" in names and not any("readyz" in name for name in names)


def test_a_conversation_with_a_tool_is_told_by_turns(tmp_path, collector, vendors):
    config = CONVERSATIONS.format(url=vendors.url, key=KEY) + telemetry(collector)
    gateway = LiveGateway(tmp_path, config)
    with gateway.client() as client, client.realtime.connect(model=MODELS["openai"]) as connection:
        talk = Talk(connection, "openai")
        talk.update(tools=TOOLS)
        talk.write("weather")
        calls = calls_of(talk.until("response.done"))
        talk.give(calls[0], "sun")
        talk.connection.response.create()
        assert "sun" in text_of(talk.until("response.done"))
    root_name = "GET /v1/realtime"
    trace = collector.trace(root_name)
    root = trace.one(root_name)
    assert root.attributes["http.response.status_code"] == 101
    assert "antiphon.session.id" in root.attributes
    assert trace.below(root)[:3] == ["authenticate", "admit", "realtime gpt-realtime-2.1"]
    first, second = sorted(trace.all("turn"), key=lambda turn: turn.begin)
    tool = trace.one("execute_tool get_weather")
    assert first.begin < tool.begin < tool.end < second.end
    assert tool.attributes == {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "get_weather", "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": calls[0]["call_id"],
    }
    for turn in (first, second):
        assert turn.attributes["gen_ai.response.finish_reasons"] == ["completed"]
        assert turn.attributes["gen_ai.usage.input_tokens"] > 0
        assert "antiphon.cost_nano_usd" in turn.attributes and "antiphon.record.id" in turn.attributes
        assert [name for name, *_ in turn.events] == ["first_output"]
    assert second.attributes["gen_ai.usage.output_tokens"] > 0
    assert first.attributes["gen_ai.response.id"] != second.attributes["gen_ai.response.id"]
    trace.check(root)
    assert gateway.stop(signal.SIGTERM) == 0


def points(collector, name):
    """The points of a metric, by their labels."""
    data = getattr(collector.points[name], collector.points[name].WhichOneof("data"))
    return {frozenset(values_of(point.attributes).items()): point for point in data.data_points}


def test_metrics_are_those_that_prometheus_scrapes(traced):
    with traced.client() as client:
        for _ in range(3):
            client.audio.speech.create(model="openai/tts-1", voice="alloy", input="Hello.")
    assert traced.stop(signal.SIGTERM) == 0
    metrics = traced.collector.points
    served = {"operation": "speech", "provider": "openai", "status": "ok"}
    point = points(traced.collector, "antiphon_requests_total")[frozenset(served.items())]
    assert point.as_double == 3
    assert 0 < point.start_time_unix_nano < point.time_unix_nano
    assert metrics["antiphon_requests_total"].sum.is_monotonic
    [took] = points(traced.collector, "antiphon_time_to_first_byte_seconds").values()
    assert took.count == sum(took.bucket_counts) == 3 and took.sum > 0
    assert len(took.bucket_counts) == len(took.explicit_bounds) + 1
    assert metrics["antiphon_time_to_first_byte_seconds"].unit == "s"
    assert {point.as_double for point in points(traced.collector, "antiphon_journal_pending_records").values()} == {0}


def test_metrics_are_sent_now_and_again(tmp_path, all_upstreams, collector):
    gateway = Gateway(tmp_path, all_upstreams, telemetry(collector, "    interval: 1s\n"))
    with gateway.client() as client:
        client.audio.speech.create(model="openai/tts-1", voice="alloy", input="Hello.")
    wait_for(lambda: "antiphon_requests_total" in collector.points)
    assert gateway.stop(signal.SIGTERM) == 0


def test_what_is_not_wanted_is_not_sent(tmp_path, all_upstreams, collector):
    gateway = Gateway(tmp_path, all_upstreams, telemetry(collector, "    sample: 0\n    metrics: false\n"))
    with gateway.client() as client:
        client.audio.speech.create(model="openai/tts-1", voice="alloy", input="Hello.")
    assert gateway.stop(signal.SIGTERM) == 0
    assert (collector.spans, collector.points) == ([], {})


def test_a_session_that_no_provider_takes_is_told_as_failed(traced, all_upstreams):
    all_upstreams["openai"].script("/realtime", times=1, status=401)
    with traced.client() as client, pytest.raises(InvalidStatus) as refused:
        client.realtime.connect(model="openai/gpt-realtime-2.1").enter()
    all_upstreams["openai"].reset()
    trace = traced.collector.trace("GET /v1/realtime")
    root, attempt = trace.one("GET /v1/realtime"), trace.one("realtime gpt-realtime-2.1")
    assert attempt.failed and attempt.attributes["error.type"] == root.attributes["error.type"]
    assert root.attributes["http.response.status_code"] == refused.value.response.status_code
    assert trace.below(attempt) == ["send"]


def test_a_line_about_an_answer_that_breaks_off_tells_whose_it_was(traced, all_upstreams):
    all_upstreams["openai"].script("/audio/speech", times=1, cut_after_bytes=20_000)
    headers = {"authorization": f"Bearer {KEY}"}
    asked = {"model": "openai/tts-1", "voice": "alloy", "input": "Hello. " * 50, "response_format": "pcm"}
    url = f"{traced.url}/v1/audio/speech"
    with pytest.raises(httpx2.HTTPError), httpx2.stream("POST", url, headers=headers, json=asked) as answer:
        answer.read()
    all_upstreams["openai"].reset()

    def told():
        lines = [json.loads(line) for line in traced.log.read_text().splitlines()]
        return next((line for line in lines if line["fields"]["message"] == "the provider's answer broke off"), None)

    assert wait_for(told)["span"]["request_id"] == answer.headers["x-request-id"]


def test_a_collector_that_never_answers_does_not_keep_the_gateway(tmp_path, all_upstreams):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for protocol in ("grpc", "http"):
            folder = tmp_path / protocol
            folder.mkdir()
            gateway = Gateway(folder, all_upstreams, telemetry(types.SimpleNamespace(url=url, protocol=protocol)))
            with gateway.client() as client:
                assert client.audio.speech.create(model="openai/tts-1", voice="alloy", input="Hello.").content
            assert gateway.stop(signal.SIGTERM) == 0
            assert "could not be sent" in gateway.log.read_text()


def test_a_collector_that_is_away_costs_no_call(tmp_path, all_upstreams):
    with socket.socket() as nobody:
        # Bound and not listening: refused, and nobody else can be there.
        nobody.bind(("127.0.0.1", 0))
        away = types.SimpleNamespace(url=f"http://127.0.0.1:{nobody.getsockname()[1]}", protocol="http")
        gateway = Gateway(tmp_path, all_upstreams, telemetry(away))
        with gateway.client() as client:
            for _ in range(3):
                assert client.audio.speech.create(model="openai/tts-1", voice="alloy", input="Hello.").content
        assert gateway.stop(signal.SIGTERM) == 0
