"""The checker of requests finds what a vendor would refuse or ignore."""

import pytest

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
