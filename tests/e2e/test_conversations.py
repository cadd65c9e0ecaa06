"""One client, one set of conversations, every provider of voice agents: what the client sees is the same story.

The scripted providers share one mind (`loadtest`): it calls functions at "weather" and "both", speaks for ten
seconds at "story", fails at "trouble", breaks the connection at "vanish" and repeats everything else. Speech
is words that are levels of samples; word 2002 stands for "story".
"""

import contextlib
import signal
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed

from conftest import KEY, recorded
from strict_client import Talk, audio_of, calls_of, kinds_of, text_of
from test_node import run_node

# Money for one window of a session at each provider, and next to nothing beyond.
MONEY = {
    "openai": "0.0600", "azure": "0.0600", "elevenlabs": "0.0405", "ultravox": "0.0260", "deepgram": "0.0380",
    "google": "0.0104",
}
POOR = {provider: f"sk-e2e-money-for-one-window-at-{provider}" for provider in MONEY}
# The same for each of the clients for Node.
POOR_NODE = {provider: [f"sk-e2e-money-for-one-window-{n}-at-{provider}" for n in (1, 2)] for provider in MONEY}
# Who writes down what the user says; voice agents do so themselves, whatever is named.
TRANSCRIBERS = {"azure": "gpt-transcribe", "own": "own-ears"}

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0" }}
  metrics: {{ bind: "127.0.0.1:0" }}
  data_dir: data
database: {{ url: "sqlite://data/antiphon.db" }}
providers:
  - {{ name: openai, kind: openai, api_key: sk-upstream, base_url: "{url}/v1", allow_insecure: true }}
  - {{ name: azure, kind: azure, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}
  - {{ name: own, kind: openai-compatible, api_key: sk-upstream, base_url: "{url}/v1", allow_insecure: true }}
  - {{ name: elevenlabs, kind: elevenlabs, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}
  - {{ name: ultravox, kind: ultravox, api_key: sk-upstream, base_url: "{url}/api", allow_insecure: true }}
  - {{ name: deepgram, kind: deepgram, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}
  - {{ name: google, kind: google, api_key: sk-upstream, base_url: "{url}", allow_insecure: true }}
models:
  - name: own-ears
    strategy: priority
    targets: [{{ provider: own, model: whisper }}]
tenants:
  - name: acme
    keys:
      - {{ name: all, key: {key} }}
"""

MODELS = {
    "openai": "openai/gpt-realtime-2.1",
    "azure": "azure/gpt-realtime-2.1",
    "own": "own/gpt-realtime",
    "elevenlabs": "elevenlabs/agent_talk",
    "ultravox": "ultravox/ultravox-v0.7",
    "deepgram": "deepgram/voice-agent",
    "google": "google/gemini-3.8-live",
}
TOOLS = [
    {
        "type": "function",
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]
WORD_MS, SILENCE_MS = 300, 700
STORY = 2002


def poor_keys():
    """Keys whose money is spent within a conversation, as lines of the configuration."""
    return "".join(
        f'      - {{ name: poor-{key[-20:]}, key: {key}, budget: {{ usd: "{usd}", window: total }} }}\n'
        for provider, usd in MONEY.items()
        for key in [POOR[provider], *POOR_NODE[provider]]
    )


@pytest.fixture(scope="module")
def live_config(vendors):
    return CONFIG.format(url=vendors.url, key=KEY) + poor_keys()


def speech(*words):
    """Words, and the silence behind them."""
    samples = b"".join(struct.pack("<h", 2000 + 8 * word) * (24 * WORD_MS) for word in words)
    return samples + bytes(48 * SILENCE_MS)


def heard(*words):
    return " ".join(f"w{word}" for word in words)


def greeting(talk):
    talk.update(instructions="You greet who calls.")
    talk.connection.response.create()
    events = talk.until("response.done")
    assert text_of(events) == "Welcome."
    assert len(audio_of(events)) >= 48 * 400


def three_turns(talk):
    talk.update(audio={"input": {"transcription": {"model": TRANSCRIBERS.get(talk.provider, "whisper-1")}}})
    for turn in range(3):
        words = (10 * turn + 1, 10 * turn + 2)
        talk.audio(speech(*words))
        events = talk.until("response.done")
        kinds = kinds_of(events)
        order = [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.speech_stopped",
            "input_audio_buffer.committed",
            "response.created",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.done",
        ]
        assert [kinds.index(kind) for kind in order] == sorted(kinds.index(kind) for kind in order), kinds
        assert text_of(events) == f"You said {heard(*words)}."
        assert len(audio_of(events)) >= 48 * 400
        done = events[-1]["response"]
        assert done["status"] == "completed"
        assert done["usage"]["output_token_details"]["audio_tokens"] > 0
    completed = "conversation.item.input_audio_transcription.completed"
    while sum(event["type"] == completed for event in talk) < 3:
        talk.recv()
    told = [event for event in talk if event["type"] == completed]
    assert [event["transcript"] for event in told] == [heard(1, 2), heard(11, 12), heard(21, 22)]
    committed = [event["item_id"] for event in talk if event["type"] == "input_audio_buffer.committed"]
    assert [event["item_id"] for event in told] == committed


def barge_in(talk):
    talk.update(instructions="Answer.")
    talk.audio(speech(STORY))
    talk.until("response.output_audio.delta")
    talk.until("response.output_audio.delta")
    talk.audio(speech(5))
    events = talk.until("response.done")
    assert "input_audio_buffer.speech_started" in kinds_of(events)
    done = events[-1]["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "turn_detected")
    assert done["output"][0]["status"] == "incomplete"
    again = talk.until("response.done")
    assert text_of(again) == f"You said {heard(5)}."
    assert again[-1]["response"]["status"] == "completed"


def parallel_calls(talk):
    talk.update(tools=TOOLS)
    talk.write("both")
    events = talk.until("response.done")
    calls = calls_of(events)
    assert [(call["name"], call["arguments"].replace(" ", "")) for call in calls] == [
        ("get_weather", '{"city":"Oslo"}'),
        ("get_weather", '{"city":"Rome"}'),
    ]
    assert events[-1]["response"]["status"] == "completed"
    talk.give(calls[0], "sun")
    talk.give(calls[1], "rain")
    talk.connection.response.create()
    events = talk.until("response.done")
    assert text_of(events) == "Oslo: sun. Rome: rain."


def long_answer_truncated(talk):
    talk.update(instructions="Answer.")
    talk.write("story")
    events = []
    while len(audio_of(events)) < 48 * 700:
        events += talk.until("response.output_audio.delta")
    talk.connection.response.cancel()
    events += talk.until("response.done")
    done = events[-1]["response"]
    assert (done["status"], done["status_details"]["reason"]) == ("cancelled", "client_cancelled")
    item = done["output"][0]["id"]
    talk.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=500)
    truncated = talk.until("conversation.item.truncated")[-1]
    assert (truncated["item_id"], truncated["audio_end_ms"]) == (item, 500)
    talk.connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=60_000)
    assert "already shorter" in talk.until("error")[-1]["error"]["message"]
    talk.write("hello")
    assert text_of(talk.until("response.done")) == "You said hello."


def manual_turns(talk):
    talk.update(audio={"input": {"turn_detection": None}})
    for words in [(3, 4), (5,)]:
        talk.audio(speech(*words)[: -48 * SILENCE_MS])
        talk.connection.input_audio_buffer.commit()
        events = talk.until("input_audio_buffer.committed")
        talk.connection.response.create()
        events += talk.until("response.done")
        assert "input_audio_buffer.speech_started" not in kinds_of(events)
        assert text_of(events) == f"You said {heard(*words)}."
    talk.connection.input_audio_buffer.commit()
    assert talk.until("error")[-1]["error"]["code"] == "input_audio_buffer_commit_empty"


def text_only(talk):
    assert talk.update(output_modalities=["text"])["output_modalities"] == ["text"]
    talk.write("hello")
    events = talk.until("response.done")
    assert "response.output_text.delta" in kinds_of(events)
    assert audio_of(events) == b""
    assert text_of(events) == "You said hello."
    assert events[-1]["response"]["output"][0]["content"][0] == {"type": "output_text", "text": "You said hello."}


def changed_in_mid_session(talk):
    talk.update(instructions="Answer.")
    talk.write("hello")
    talk.until("response.done")
    session = talk.update(instructions="Answer in verse.")
    assert session["instructions"] == "Answer in verse."
    talk.write("hello again")
    assert text_of(talk.until("response.done")) == "You said hello again."


def provider_fails(talk):
    talk.update(instructions="Answer.")
    talk.write("trouble")
    events = talk.until("response.done", "error")
    if events[-1]["type"] == "response.done":
        assert events[-1]["response"]["status"] == "failed"
        assert events[-1]["response"]["status_details"]["error"]["code"]


def provider_vanishes(talk):
    """The session ends, but with a provider that takes a conversation up again: then a response is lost alone."""
    talk.update(instructions="Answer.")
    talk.write("vanish")
    if talk.provider not in RESUMING:
        assert talk.closed() == 1011
        return
    assert talk.until("response.done")[-1]["response"]["status"] == "failed"
    talk.write("hello")
    assert text_of(talk.until("response.done")) == "You said hello."


def budget_spent(talk):
    """The first window is paid for; what is used in it leaves no room for the next."""
    talk.update(instructions="Answer.")
    for turn in range(20):
        # The end may come before the client has said anything more; what came before it is read all the same.
        with contextlib.suppress(ConnectionClosed):
            talk.write(f"turn {turn}")
        if last := talk.until("response.done", "error")[-1].get("error"):
            break
    assert last["code"] == "budget_exceeded", talk.log[-3:]
    assert talk.closed() == 1008


STORIES = [
    greeting,
    three_turns,
    barge_in,
    parallel_calls,
    long_answer_truncated,
    manual_turns,
    text_only,
    changed_in_mid_session,
    provider_fails,
    provider_vanishes,
    budget_spent,
]
# What a provider cannot do: the field that the documented `error` event names.
REFUSED = {}
# Who takes a conversation up again on another connection.
RESUMING = {"google"}
# Nobody knows what a server of one's own costs.
UNPRICED = {"own"}
CASES = [
    (provider, story)
    for provider in MODELS
    for story in STORIES
    if story is not budget_spent or provider not in UNPRICED
]


def hold(gateway, provider, story):
    """Holds one conversation, and tells its request."""
    key = POOR[provider] if story is budget_spent else KEY
    with gateway.client(key) as client, client.realtime.connect(model=MODELS[provider]) as connection:
        asked = connection._connection.response.headers["x-request-id"]
        story(Talk(connection, provider))
    return asked


@pytest.fixture(scope="module")
def held(live):
    """All conversations, held side by side, since agents speak in real time."""
    with ThreadPoolExecutor(max_workers=16) as threads:
        yield {
            (provider, story): threads.submit(hold, live, provider, story) for provider, story in CASES
        }


@pytest.mark.parametrize(("provider", "story"), CASES, ids=lambda part: getattr(part, "__name__", part))
def test_the_story_is_the_same(live, held, provider, story):
    asked = held[provider, story].result(120)
    key = POOR[provider] if story is budget_spent else KEY
    with live.client(key) as client:
        records = recorded(client, asked)
    if provider not in UNPRICED and story is not provider_vanishes:
        assert all(record["cost_usd"] is not None for record in records), records


@pytest.mark.parametrize("provider", MODELS)
def test_the_sdk_and_the_agents_framework_for_node(live, provider):
    ears = TRANSCRIBERS.get(provider, "whisper-1")
    told = {"ANTIPHON_MODEL": MODELS[provider], "ANTIPHON_EARS": ears}
    told["ANTIPHON_POOR"] = " ".join(POOR_NODE.get(provider, []))
    told["ANTIPHON_RESUMES"] = "yes" if provider in RESUMING else ""
    run_node("conversations.test.mjs", live, KEY, **told)
