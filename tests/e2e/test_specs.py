"""The checkers of requests and of sockets find what a vendor would refuse or ignore."""

import json
import signal

import pytest
import websockets.sync.client

from conftest import PATIENCE_S, Vendors, wait_for
from sockets import Sockets
from specs import Spec

JSON = [["content-type", "application/json"]]
FORM = [["content-type", "multipart/form-data; boundary=x"]]
GOOD = {
    "method": "POST", "path": "/v1/text-to-speech/21m00Tcm4TlvDq8ikWAM/stream", "query": "output_format=pcm_24000",
    "headers": JSON, "fields": [], "file": None,
    "json": {"text": "Hi", "model_id": "eleven_v3", "voice_settings": {"stability": 0.5, "speed": 1}},
}
FORM_GOOD = {
    "method": "POST", "path": "/v1/speech-to-text", "query": "enable_logging=false", "headers": FORM, "json": None,
    "fields": [["model_id", "scribe_v2"], ["diarize", "true"], ["keyterms", "a"], ["keyterms", "2"], ["seed", "7"]],
    "file": {"name": "a.wav"},
}
VOICES = {
    "method": "GET", "path": "/v2/voices", "query": "page_size=100", "headers": [], "fields": [], "file": None,
    "json": None,
}


@pytest.mark.parametrize("request_", [GOOD, FORM_GOOD, VOICES])
def test_what_the_document_knows_is_no_problem(request_):
    assert Spec("elevenlabs").problems([request_]) == []


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (GOOD | {"path": "/v1/text-to-speech/stream"} | {"method": "GET"}, "no such path"),
        (GOOD | {"path": "/v1/text-to-speech//stream"}, "an empty segment"),
        (GOOD | {"query": "output_format=flac"}, "output_format"),
        (GOOD | {"query": "format=mp3"}, "unknown parameter format"),
        (GOOD | {"json": {"model_id": "eleven_v3"}}, "'text' is a required property"),
        (GOOD | {"json": {"text": "Hi", "output_format": "pcm_24000"}}, "'output_format' was unexpected"),
        (GOOD | {"json": {"text": "Hi", "voice_settings": {"stability": 2}}}, "voice_settings"),
        (GOOD | {"json": {"text": "Hi", "voice_settings": {"speeed": 1}}}, "voice_settings"),
        (GOOD | {"headers": FORM}, "content type multipart/form-data"),
        (FORM_GOOD | {"fields": [["file_format", "other"]]}, "field model_id is missing"),
        (FORM_GOOD | {"fields": [["model_id", "whisper-1"]]}, "model_id"),
        (FORM_GOOD | {"fields": [["model_id", "scribe_v2"], ["diarize", "maybe"]]}, "diarize"),
        (FORM_GOOD | {"fields": [["model_id", "scribe_v2"], ["prompt", "x"]]}, "unknown field prompt"),
        (VOICES | {"query": "page_size=many"}, "page_size"),
        (VOICES | {"headers": JSON}, "where none is expected"),
    ],
)
def test_what_it_does_not_know_is(request_, problem):
    [found] = Spec("elevenlabs").problems([request_])
    assert problem in found


CHUNK = {"message_type": "input_audio_chunk", "audio_base_64": "AAA=", "commit": False, "sample_rate": 16000}
SPOKEN = {"type": "TurnInfo", "request_id": "00000000-0000-4000-8000-000000000000", "sequence_id": 1,
          "event": "Update", "turn_index": 0, "audio_window_start": 0.0, "audio_window_end": 0.5, "transcript": "",
          "words": [], "end_of_turn_confidence": 0.5}
SCRIBE = "/v1/speech-to-text/realtime"
ARGUMENTS = {"id": "c", "name": "f", "arguments": "{}", "client_side": True}
CALLED = {"type": "FunctionCallRequest", "functions": [ARGUMENTS]}
FUNCTION = {"name": "f", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
THINK = {"provider": {"type": "open_ai", "model": "gpt-4o-mini"}, "functions": [FUNCTION | {"defer_until_eot": True}]}
CALL = {"method": "POST", "path": "/api/calls", "query": "", "headers": JSON, "fields": [], "file": None}
CREATED = {"type": "session.created", "event_id": "e",
           "session": {"type": "realtime", "object": "realtime.session", "id": "s", "audio": {"input": None}}}


def told(path, **said):
    """What a scripted vendor tells of one message, or of one connection where there is none."""
    messages = [{"path": path, "from": side, "message": message} for side, message in said.items()]
    return {"connections": [] if messages else [path], "said": messages, "requests": []}


@pytest.mark.parametrize(
    "fitting",
    [
        told("/v1/listen?model=nova-3&encoding=linear16&sample_rate=24000&keyterm=a&keyterm=b"),
        told(f"{SCRIBE}?model_id=scribe_v2_realtime&vad_threshold=0.5&include_timestamps=true"),
        told("/v1/listen", client={"type": "KeepAlive"}),
        told("/v2/listen", client={"type": "CloseStream"}, vendor=SPOKEN),
        told(SCRIBE, client=CHUNK),
        told("/v1/convai/conversation", client={"user_audio_chunk": "AAA="}),
        told("/v1/convai/conversation", vendor={"type": "agent_response_complete", "event": {}}),
        told("/v1/agent/converse", client={"type": "UpdateThink", "think": THINK}, vendor=CALLED),
        told("/join/4", client={"type": "hang_up"}, vendor={"type": "state", "state": "idle"}),
        told("/join/4?token=t%2B1") | {"requests": [CALL | {"json": {"systemPrompt": "Answer."}}]},
        told("/v1/realtime", client={"type": "response.cancel"}, vendor=CREATED),
    ],
)
def test_what_is_said_on_a_socket_as_documented_is_no_problem(fitting):
    assert Sockets().problems(fitting) == []


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (told("/v3/listen?model=nova-3"), "no such socket"),
        (told("/v1/listen?modell=nova-3"), "unknown parameter modell"),
        (told("/v1/listen?model=nova-3&encoding=pcm"), "encoding"),
        (told(f"{SCRIBE}?audio_format=pcm_16000"), "parameter model_id is missing"),
        (told(f"{SCRIBE}?model_id=scribe_v2_realtime&vad_threshold=2"), "vad_threshold"),
        (told(f"{SCRIBE}?model_id=scribe_v2_realtime&language_code=de-DE"), "language_code"),
        (told("/v1/listen", client={"type": "Commit"}), "no message of the client's"),
        (told("/v1/listen", client="KeepAlive"), "no JSON object"),
        (told("/v1/listen", vendor={"type": "KeepAlive"}), "no message of the vendor's"),
        (told("/v2/listen", client={"type": "KeepAlive"}), "no message of the client's"),
        (told("/v2/listen", vendor=SPOKEN | {"sequence_id": "1"}), "TurnInfo.sequence_id"),
        (told("/v2/listen", vendor=SPOKEN | {"request_id": "r"}), "TurnInfo.request_id"),
        (told("/v2/listen", vendor=SPOKEN | {"words": [{"word": "a"}]}), "TurnInfo.words.0"),
        (told(SCRIBE, client=CHUNK | {"audio_base64": "AAA="}), "'audio_base64' was unexpected"),
        (told(SCRIBE, client=CHUNK | {"audio_base_64": "no base64"}), "input_audio_chunk.audio_base_64"),
        (told("/join/4", client={"type": "set_output_medium", "medium": "mail"}), "set_output_medium.medium"),
        (told("/v1/agent/converse", client={"type": "UpdateThink", "think": {"tools": []}}), "UpdateThink.think"),
        (
            told("/v1/agent/converse", vendor=CALLED | {"functions": [ARGUMENTS | {"arguments": {}}]}),
            "FunctionCallRequest.functions.0.arguments",
        ),
        (told("/join/4") | {"requests": [CALL | {"json": {"prompt": "Answer."}}]}, "'prompt' was unexpected"),
        (told("/v1/realtime", client={"type": "response.cancel", "response_id": 5}), "response.cancel.response_id"),
        (told("/openai/v1/realtime", vendor=CREATED | {"session": {"type": "realtime"}}), "session.created.session"),
    ],
)
def test_what_no_socket_knows_is(broken, problem):
    [found] = Sockets().problems(broken)
    assert problem in found


def test_what_a_client_says_on_a_scripted_socket_is_checked_as_it_was_said(tmp_path):
    vendors = Vendors(tmp_path)
    place = vendors.url.replace("http", "ws", 1) + "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
    with websockets.sync.client.connect(place, additional_headers={"Authorization": "Token sk-upstream"}) as socket:
        socket.send(json.dumps({"type": "KeepAlive"}))
        socket.send(json.dumps({"type": "Finalise"}))
        with pytest.raises(websockets.exceptions.ConnectionClosedError):
            socket.recv(PATIENCE_S)
            socket.recv(PATIENCE_S)
    problems = wait_for(lambda: Sockets().problems(vendors.seen()) or None)
    vendors.stop(signal.SIGINT)
    assert len(problems) == 1 and "{'type': 'Finalise'}" in problems[0]
