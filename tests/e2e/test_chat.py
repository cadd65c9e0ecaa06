"""`client.chat.completions`, `client.embeddings` and `client.models`."""

import pytest

from conftest import ONLY_TTS_1

REPLY = "Hello from the scripted upstream."
CHAT = ["openai/gpt-4o-mini", "azure/gpt-audio-1.5", "groq/openai/gpt-oss-20b", "own/llama"]
HI = [{"role": "user", "content": "Hi there"}]


@pytest.mark.parametrize("model", CHAT)
def test_chat(client, model):
    answer = client.chat.completions.create(model=model, messages=HI)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@pytest.mark.parametrize("model", CHAT)
def test_chat_stream(client, model):
    whole = client.chat.completions.create(model=model, messages=HI).choices[0].message.content
    chunks = list(client.chat.completions.create(model=model, messages=HI, stream=True))
    pieces = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(pieces) > 1
    assert "".join(pieces) == whole
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"


def test_chat_stream_with_usage(client):
    chunks = list(
        client.chat.completions.create(
            model="openai/gpt-4o-mini", messages=HI, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


@pytest.mark.parametrize("model", ["openai/text-embedding-3-small", "azure/text-embedding-3-small", "own/bge-small"])
def test_embeddings(client, model):
    """The SDK asks for base64 unless told, and decodes it; both ways give the same numbers."""
    asked = {"model": model, "input": ["one", "two"], "dimensions": 64}
    base64 = client.embeddings.create(**asked)
    numbers = client.embeddings.create(**asked, encoding_format="float")
    assert [len(item.embedding) for item in numbers.data] == [64, 64]
    for packed, plain in zip(base64.data, numbers.data, strict=True):
        assert packed.embedding == pytest.approx(plain.embedding)
    assert numbers.data[0].embedding != numbers.data[1].embedding


def test_models(client):
    names = {model.id for model in client.models.list()}
    assert {"stt", "talk", "openai/whisper-1", "groq/whisper-large-v3", "local/flite"} <= names
    assert "flite" not in names, "`local` is never chosen by a name that does not say it"
    one = client.models.retrieve("stt")
    assert one.id == "stt" and one.object == "model"
    assert "transcription" in one.antiphon["operations"]


def test_models_are_only_what_the_key_may_use(gateway):
    with gateway.client(ONLY_TTS_1) as client:
        assert [model.id for model in client.models.list()] == ["openai/tts-1"]
