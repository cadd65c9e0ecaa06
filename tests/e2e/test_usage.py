"""`GET /v1/usage/{request_id}`: what one call cost, to the nano-dollar; `GET /v1/usage`: the key's sum.

The prices are those of `pricing-seed/prices`; the quantities are what the scripted providers report.
"""

from decimal import ROUND_HALF_UP, Decimal

import openai
import pytest

import conftest
from conftest import recorded
from realtime import append, request_id, transcription_session, until

NANO = Decimal("0.000000001")
TEXT = "Hello from the other side of the gateway."


def records(client, id, count=1):
    """The records of a call, of which there are just so many."""
    found = recorded(client, id, count)
    assert len(found) == count
    return found


def nano(usd):
    return Decimal(usd).quantize(NANO, ROUND_HALF_UP)


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        # 2.5 s: OpenAI and Azure bill whole seconds, Groq ten seconds at least, the local provider nothing.
        ("openai/whisper-1", Decimal("0.006") * 3 / 60),
        ("azure/whisper", Decimal("0.0001") * 3),
        ("groq/whisper-large-v3", Decimal("0.111") * 10 / 3600),
        # 25 audio tokens in, 11 text tokens out.
        ("openai/gpt-4o-transcribe", Decimal("0.000001") * (25 * 6 + 11 * 10)),
        ("local/pocketsphinx", Decimal(0)),
    ],
)
def test_transcription(client, tone, model, usd):
    answer = client.audio.transcriptions.with_raw_response.create(
        model=model, file=tone, extra_headers={"x-antiphon-user": "mia"}
    )
    [record] = records(client, answer.headers["x-request-id"])
    assert Decimal(record["cost_usd"]) == nano(usd)
    assert Decimal(answer.headers["x-antiphon-cost-usd"]) == nano(usd)
    assert (record["operation"], record["model"], record["status"]) == ("transcription", model, "ok")
    assert record["provider"] == model.split("/")[0]


def test_a_model_without_a_price_has_no_cost_rather_than_none(client, tone):
    answer = client.audio.transcriptions.with_raw_response.create(model="own/whisper-small", file=tone)
    [record] = records(client, answer.headers["x-request-id"])
    assert record["cost_usd"] is None
    assert "x-antiphon-cost-usd" not in answer.headers


@pytest.mark.parametrize(("model", "price"), [("openai/tts-1", 15), ("openai/tts-1-hd", 30), ("local/flite", 0)])
def test_speech(client, model, price):
    voice = "slt" if model.startswith("local") else "alloy"
    answer = client.audio.speech.with_raw_response.create(
        model=model, voice=voice, input=TEXT, response_format="wav"
    )
    [record] = records(client, answer.headers["x-request-id"])
    assert record["usage"]["characters"] == len(TEXT)
    assert Decimal(record["cost_usd"]) == nano(Decimal(price) * len(TEXT) / 1_000_000)


def test_streamed_chat_is_counted_though_nobody_asked_for_usage(client):
    answer = client.chat.completions.with_raw_response.create(
        model="groq/openai/gpt-oss-20b", messages=[{"role": "user", "content": "Hi there"}], stream=True
    )
    assert list(answer.parse())
    [record] = records(client, answer.headers["x-request-id"])
    usage = record["usage"]
    assert usage["text_tokens_in"] > 0 and usage["text_tokens_out"] > 0
    usd = Decimal("0.000000075") * usage["text_tokens_in"] + Decimal("0.0000003") * usage["text_tokens_out"]
    assert Decimal(record["cost_usd"]) == nano(usd)


def test_each_turn_of_a_realtime_session(client):
    with client.realtime.connect(model="openai/gpt-realtime-2.1") as session:
        session.recv()
        append(session, bytes(96_000))
        session.input_audio_buffer.commit()
        expected = []
        for _ in range(2):
            session.response.create()
            usage = until(session, "response.done")[-1].response.usage
            into, out = usage.input_token_details, usage.output_token_details
            # Dollars per million tokens: text 4 in and 24 out, audio 32 in and 64 out.
            millionths = into.text_tokens * 4 + into.audio_tokens * 32 + out.text_tokens * 24 + out.audio_tokens * 64
            expected.append(nano(Decimal(millionths) / 1_000_000))
        id = request_id(session)
    found = records(client, id, count=2)
    assert [Decimal(record["cost_usd"]) for record in found] == expected
    assert [record["operation"] for record in found] == ["realtime"] * 2


def test_a_transcription_session_is_billed_by_its_transcriber(client):
    with client.realtime.connect(extra_query={"intent": "transcription"}) as session:
        session.session.update(session=transcription_session("openai/gpt-realtime-whisper"))
        until(session, "session.updated")
        append(session, bytes(96_000))
        session.input_audio_buffer.commit()
        until(session, "conversation.item.input_audio_transcription.completed")
        id = request_id(session)
    [record] = records(client, id)
    assert Decimal(record["cost_usd"]) == nano(Decimal("0.017") * 2 / 60)


def test_the_sum_of_a_key(gateway):
    """The calls of a key are its sum, and show nowhere in another key's."""
    with gateway.client(conftest.SUMMED) as client:
        assert Decimal(client.get("/usage", cast_to=object)["spent_usd"]) == 0
        costs = []
        for text in (TEXT, 2 * TEXT):
            answer = client.audio.speech.with_raw_response.create(model="openai/tts-1", voice="alloy", input=text)
            id = answer.headers["x-request-id"]
            [record] = records(client, id)
            costs.append(Decimal(record["cost_usd"]))
        assert costs[1] == 2 * costs[0] > 0
        assert Decimal(client.get("/usage", cast_to=object)["spent_usd"]) == sum(costs)
    with gateway.client(conftest.ONLY_SPEECH) as other, pytest.raises(openai.NotFoundError):
        other.get(f"/usage/{id}", cast_to=object)
