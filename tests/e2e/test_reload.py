"""The configuration is loaded again on SIGHUP, as far as it can be used."""

import signal

import openai
import pytest

from conftest import KEY, ONLY_SPEECH, Gateway, wait_for, wav_of

NEW_KEY = "sk-e2e-a-key-that-a-reload-brings-0011"
HELLO = {"voice": "alloy", "input": "Hello."}


def reload(gateway, folder, config, word):
    """Loads another file, and waits for the line about it."""
    (folder / "antiphon.yaml").write_text(config)
    before = len(gateway.log.read_text())
    gateway.process.send_signal(signal.SIGHUP)
    lines = lambda: gateway.log.read_text()[before:].splitlines()
    return wait_for(lambda: next((line for line in lines() if word in line), None))


def models(client):
    return {model.id for model in client.models.list()}


def refused(client):
    """Waits until the client's key is good no more."""

    def tried():
        try:
            client.models.list()
            return None
        except openai.AuthenticationError as error:
            return error

    return wait_for(tried)


@pytest.fixture
def started(tmp_path, all_upstreams):
    gateway = Gateway(tmp_path, all_upstreams)
    yield gateway, (tmp_path / "antiphon.yaml").read_text()
    assert gateway.stop(signal.SIGTERM) == 0
    assert "panicked" not in gateway.log.read_text()


def test_what_may_change_takes_effect_and_the_rest_is_named(started, tmp_path):
    gateway, config = started
    newer = config.replace(f"      - {{ name: speech, key: {ONLY_SPEECH}, operations: [speech] }}\n", "")
    assert newer != config
    newer = newer.replace("  - name: say\n", "  - name: speak\n", 1)
    newer = newer.replace("    keys:\n", f"    keys:\n      - {{ name: new, key: {NEW_KEY} }}\n", 1)
    newer = newer.replace("openai: marin, local", "openai: cedar, local", 1)
    newer = newer.replace('metrics: { bind: "127.0.0.1:0" }', 'metrics: { bind: "127.0.0.1:1" }')
    newer += "limits: { max_upload_mib: 1 }\ntelemetry: { log: debug, format: json }\n"
    with gateway.client() as client, gateway.client(NEW_KEY) as new, gateway.client(ONLY_SPEECH) as old:
        assert "say" in models(client) and models(old)
        file = ("long.wav", wav_of(bytes(2 * 1024 * 1024), 16000), "audio/wav")
        assert client.audio.transcriptions.create(model="openai/whisper-1", file=file).text
        assert "DEBUG" not in gateway.log.read_text()

        told = reload(gateway, tmp_path, newer, "loaded again")
        assert "server.metrics, telemetry.format" in told and "restart" in told
        wait_for(lambda: "speak" in models(client))
        assert "say" not in models(client)
        assert new.audio.speech.create(model="speak", **HELLO).content, "a new key and a new model"
        assert refused(old).code == "invalid_api_key"
        with pytest.raises(openai.APIStatusError) as failed:
            client.audio.transcriptions.create(model="openai/whisper-1", file=file)
        assert failed.value.status_code == 413, "another limit"
        wait_for(lambda: "DEBUG" in gateway.log.read_text())

        told = reload(gateway, tmp_path, config, "loaded again")
        assert "restart" not in told, "what needed one is as it was at the start"
        wait_for(lambda: "say" in models(client))
        assert refused(new)
        assert client.audio.transcriptions.create(model="openai/whisper-1", file=file).text


def test_a_configuration_that_cannot_be_used_changes_nothing(started, tmp_path):
    gateway, config = started
    with gateway.client() as client:
        before = models(client)
        for wrong, why in [
            (config + "limits: { max_sesions: 3 }\n", "max_sesions"),
            (config + "telemetry: { log: \"gateway=loud\" }\n", "telemetry.log"),
            ("tenants: [", "antiphon.yaml"),
            (config.replace("provider: groq", "provider: nobody"), "nobody"),
        ]:
            told = reload(gateway, tmp_path, wrong, "the one in force stays")
            assert why in told and "ERROR" in told, told
            assert KEY not in told
            assert models(client) == before
            assert client.audio.speech.create(model="say", **HELLO).content
        (tmp_path / "antiphon.yaml").unlink()
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "cannot be read" in gateway.log.read_text())
        assert models(client) == before
    (tmp_path / "antiphon.yaml").write_text(config)
