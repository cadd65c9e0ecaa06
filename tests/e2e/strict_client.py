"""A client of OpenAI's Realtime language that forgives nothing: every event must fit the official SDK's own
types, and the events of a conversation must come in an order that a strict state machine takes.
"""

import base64

from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter
from websockets.exceptions import ConnectionClosed

EVENTS = TypeAdapter(RealtimeServerEvent)
# Samples in a millisecond of audio/pcm at 24 kHz.
PER_MS = 24
PIECE_MS = 100
# The deltas of a part, by the event that ends it, and the field that must be their sum.
PARTS = {
    "response.output_text.done": ("response.output_text.delta", "text"),
    "response.output_audio_transcript.done": ("response.output_audio_transcript.delta", "transcript"),
    "response.function_call_arguments.done": ("response.function_call_arguments.delta", "arguments"),
}


class Order:
    """Follows the events of one session."""

    def __init__(self):
        self.ids = set()
        self.items = {}
        self.pending = []
        self.response = None
        self.done = set()
        self.open_items = {}
        self.deltas = {}
        self.transcribed = set()
        self.created = False

    def take(self, event):
        kind = event["type"]
        assert event["event_id"] not in self.ids, f"an event id twice: {event}"
        self.ids.add(event["event_id"])
        assert self.created or kind in ("session.created", "error"), f"{kind} before session.created"
        if kind.startswith("response.") and kind != "response.created":
            of = event.get("response_id") or event["response"]["id"]
            assert of == self.response, f"{kind} of {of} while {self.response} is open"
        method = getattr(self, "on_" + kind.replace(".", "_"), None)
        if method:
            method(event)
        elif kind.endswith(".delta") and kind.startswith("response."):
            self.delta(event)
        elif kind in PARTS:
            self.part_done(event)

    def on_session_created(self, event):
        assert not self.created, "session.created twice"
        self.created = True

    def on_conversation_item_added(self, event):
        item = event["item"]["id"]
        assert item not in self.items, f"the item {item} was added twice"
        self.items[item] = "added"

    def on_conversation_item_done(self, event):
        item = event["item"]["id"]
        assert self.items.get(item) == "added", f"the item {item} is done and was {self.items.get(item)}"
        self.items[item] = "done"

    def on_conversation_item_input_audio_transcription_delta(self, event):
        assert event["item_id"] not in self.transcribed, "a piece of a transcript that is complete"

    def on_conversation_item_input_audio_transcription_completed(self, event):
        assert event["item_id"] not in self.transcribed, "a transcript was completed twice"
        self.transcribed.add(event["item_id"])

    def on_response_created(self, event):
        response = event["response"]["id"]
        assert self.response is None, f"{response} began while {self.response} is open"
        assert response not in self.done, f"{response} began twice"
        assert event["response"]["status"] == "in_progress"
        self.response = response
        self.open_items, self.deltas = {}, {}

    def on_response_output_item_added(self, event):
        index = event["output_index"]
        assert index == len(self.open_items), f"the item has the index {index}, not {len(self.open_items)}"
        self.open_items[event["item"]["id"]] = "added"

    def on_response_output_item_done(self, event):
        item = event["item"]["id"]
        assert self.open_items.get(item) == "added", f"{item} is done and was {self.open_items.get(item)}"
        self.open_items[item] = "done"

    def on_response_content_part_added(self, event):
        assert self.open_items[event["item_id"]] == "added"

    def delta(self, event):
        assert self.open_items.get(event["item_id"]) == "added", f"a delta of {event['item_id']}, which is not open"
        place = (event["type"], event["item_id"], event.get("content_index"))
        self.deltas[place] = self.deltas.get(place, "") + event["delta"]

    def part_done(self, event):
        delta, field = PARTS[event["type"]]
        told = self.deltas.get((delta, event["item_id"], event.get("content_index")), "")
        assert told == event[field], f"the deltas are {told!r}, the whole is {event[field]!r}"

    def on_response_done(self, event):
        response = event["response"]
        assert response["status"] in ("completed", "cancelled", "incomplete", "failed")
        left = [item for item, state in self.open_items.items() if state != "done"]
        assert left == [], f"items are open at the end of their response: {left}"
        told = [item["id"] for item in response.get("output") or []]
        assert told == list(self.open_items), f"the response tells of {told}, not of {list(self.open_items)}"
        self.done.add(response["id"])
        self.response = None


class Talk:
    """One session."""

    def __init__(self, connection, provider):
        self.connection = connection
        self.provider = provider
        self.order = Order()
        self.log = []
        self.next("session.created")

    def recv(self):
        """The next event, as a mapping."""
        event = self.connection.recv().to_dict()
        EVENTS.validate_python(event)
        self.order.take(event)
        self.log.append(event)
        return event

    def next(self, kind):
        event = self.recv()
        assert event["type"] == kind, f"{event} instead of {kind}"
        return event

    def until(self, *kinds):
        """Every event up to the first of one of these kinds. An error that is not among them fails."""
        events = []
        while True:
            event = self.recv()
            events.append(event)
            if event["type"] in kinds:
                return events
            assert event["type"] != "error", event["error"]

    def closed(self):
        """Waits for the end: the code of the close."""
        while True:
            try:
                self.recv()
            except ConnectionClosed as ended:
                return ended.rcvd.code

    def update(self, **session):
        self.connection.session.update(session={"type": "realtime", **session})
        return self.until("session.updated")[-1]["session"]

    def audio(self, samples):
        for start in range(0, len(samples), PIECE_MS * PER_MS * 2):
            piece = base64.b64encode(samples[start : start + PIECE_MS * PER_MS * 2]).decode()
            self.connection.input_audio_buffer.append(audio=piece)

    def write(self, text):
        """A message of the user, and the wish for an answer."""
        content = [{"type": "input_text", "text": text}]
        self.connection.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        self.connection.response.create()

    def give(self, call, output):
        self.connection.conversation.item.create(
            item={"type": "function_call_output", "call_id": call["call_id"], "output": output}
        )

    def __iter__(self):
        return iter(self.log)


def text_of(events):
    """What a response said, as its deltas told it."""
    kinds = ("response.output_audio_transcript.delta", "response.output_text.delta")
    return "".join(event["delta"] for event in events if event["type"] in kinds).strip()


def audio_of(events):
    deltas = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
    return b"".join(base64.b64decode(delta) for delta in deltas)


def calls_of(events):
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    return [item for item in items if item["type"] == "function_call"]


def kinds_of(events):
    return [event["type"] for event in events]
