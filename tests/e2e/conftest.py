"""Starts the real gateway before scripted providers, once for all tests.

Scripted upstreams stand in for OpenAI, Azure OpenAI, Groq, a self-hosted server, ElevenLabs, Deepgram,
Google and Ultravox; the `local` provider is the real one, with flite and PocketSphinx.
"""

import io
import json
import math
import os
import pathlib
import re
import signal
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave

import openai
import pytest

from sockets import Sockets
from specs import Spec

# The scripts that stage and picture the dashboard start from this file too, without pytest.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from programs import ROOT, binary  # noqa: E402

# A site with a browser before it: only tests that ask for one pay for it.
pytest_plugins = ["browser"]

# Longest wait for something that should happen at once.
PATIENCE_S = 30.0
SENTENCE = "The quick brown fox jumps over the lazy dog."
HELLO = "Hello from the other side of the gateway."

KEY = "sk-e2e-everything-is-allowed-0001"
ONLY_SPEECH = "sk-e2e-only-speech-is-allowed-0002"
ONLY_TTS_1 = "sk-e2e-only-one-model-is-allowed-0003"
ONE_A_MINUTE = "sk-e2e-one-request-per-minute-0004"
ONE_SESSION = "sk-e2e-one-session-at-a-time-0006"
NODE_SDKS = "sk-e2e-the-vendors-sdks-for-node-0009"
SUMMED = "sk-e2e-one-test-alone-counts-this-0007"
IN_A_ROOM = "sk-e2e-ultravox-s-client-sdk-in-a-room-0010"
NO_EXTRAS = "sk-e2e-money-for-two-seconds-alone-0008"
NO_MONEY = "sk-e2e-a-budget-of-next-to-nothing-0005"

# The scripted providers, by the name of their kind.
SCRIPTED = ["openai", "azure", "groq", "self-hosted", "elevenlabs", "deepgram", "google", "ultravox"]

CONFIG = """
server:
  gateway: {{ bind: "127.0.0.1:0" }}
  admin: {{ bind: "127.0.0.1:0" }}
  metrics: {{ bind: "127.0.0.1:0" }}
  data_dir: data
database: {{ url: "sqlite://data/antiphon.db" }}
providers:
  - {{ name: openai, kind: openai, api_key: sk-upstream, base_url: "{openai}/v1", allow_insecure: true }}
  - {{ name: azure, kind: azure, api_key: sk-upstream, base_url: "{azure}", allow_insecure: true }}
  - {{ name: groq, kind: groq, api_key: sk-upstream, base_url: "{groq}/openai/v1", allow_insecure: true }}
  - {{ name: own, kind: openai-compatible, api_key: sk-upstream, base_url: "{self_hosted}/v1", allow_insecure: true }}
  - {{ name: elevenlabs, kind: elevenlabs, api_key: sk-upstream, base_url: "{elevenlabs}", allow_insecure: true }}
  - {{ name: deepgram, kind: deepgram, api_key: sk-upstream, base_url: "{deepgram}", allow_insecure: true }}
  - {{ name: google, kind: google, api_key: sk-upstream, base_url: "{google}", allow_insecure: true }}
  - {{ name: google-cloud, kind: google, api_key: {service_account}, base_url: "{google}", allow_insecure: true }}
  - {{ name: google-left, kind: google, api_key: {revoked_account}, base_url: "{google}", allow_insecure: true }}
  - {{ name: ultravox, kind: ultravox, api_key: sk-upstream, base_url: "{ultravox}/api", allow_insecure: true }}
models:
  - name: stt
    strategy: priority
    targets:
      - {{ provider: openai, model: whisper-1, priority: 1 }}
      - {{ provider: groq, model: whisper-large-v3, priority: 2 }}
  - name: say
    strategy: priority
    targets:
      - {{ provider: elevenlabs, model: eleven_flash_v2_5, priority: 1 }}
      - {{ provider: openai, model: tts-1, priority: 2 }}
  - name: say-google
    strategy: priority
    targets:
      - {{ provider: google, model: gemini-3.8-flash-tts, priority: 1 }}
      - {{ provider: openai, model: tts-1, priority: 2 }}
  - name: chirp
    strategy: priority
    targets: [{{ provider: google-cloud, model: chirp_3, options: {{ project: acme-1 }} }}]
  - name: talk
    strategy: priority
    targets: [{{ provider: azure, model: gpt-realtime, options: {{ deployment: our-realtime }} }}]
tenants:
  - name: acme
    keys:
      - {{ name: all, key: {KEY} }}
      - {{ name: speech, key: {ONLY_SPEECH}, operations: [speech] }}
      - {{ name: tts, key: {ONLY_TTS_1}, models: ["openai/tts-1"] }}
      - {{ name: slow, key: {ONE_A_MINUTE}, requests_per_minute: 1 }}
      - {{ name: summed, key: {SUMMED} }}
      - {{ name: node, key: {NODE_SDKS} }}
      - {{ name: room, key: {IN_A_ROOM}, budget: {{ usd: "0.05", window: total }} }}
      - {{ name: alone, key: {ONE_SESSION}, max_concurrent_sessions: 1 }}
      - {{ name: short, key: {NO_EXTRAS}, budget: {{ usd: "0.00016", window: total }} }}
      - {{ name: poor, key: {NO_MONEY}, budget: {{ usd: "0.000001", window: total }} }}
voices:
  - {{ name: narrator, map: {{ openai: marin, local: slt, elevenlabs: Rachel, google: Kore }} }}
"""


def service_account(url, name):
    """What Google's console gives for an account of this name, as text within YAML."""
    key = (ROOT / "gateway/tests/fixtures/nobodys-rsa-key.pem").read_text()
    account = {
        "type": "service_account", "client_email": f"{name}@acme-1.iam.gserviceaccount.com", "private_key": key,
        "private_key_id": "k1", "token_uri": f"{url}/token",
    }
    return json.dumps(json.dumps(account))


def wait_for(found):
    """Asks until the answer is neither None nor False; 0 and what is empty are answers."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        answer = found()
        if answer is not None and answer is not False:
            return answer
        time.sleep(0.05)
    raise TimeoutError(f"nothing came within {PATIENCE_S:.0f} s")


def recorded(client, request, least=1):
    """The records of a call, once there are so many: they reach the database shortly after its end."""

    def ask():
        try:
            data = client.get(f"/usage/{request}", cast_to=object)["data"]
        except openai.NotFoundError:
            return None
        return data if len(data) >= least else None

    return wait_for(ask)


class Program:
    """A child process whose output goes to a file, and the address that it prints."""

    def __init__(self, command, folder, name, variables=None):
        # No variable of the developer's may add a provider.
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **(variables or {})}
        self.log = folder / f"{name}.log"
        self.out = folder / f"{name}.out"
        with self.log.open("wb") as log, self.out.open("wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=log)
        self.url = wait_for(self.address)

    def address(self):
        assert self.process.poll() is None, f"ended at its start: {self.log.read_text()}"
        found = re.search(r"(http|ws)://[\d.]+:\d+", self.out.read_text())
        return found and found.group()

    def stop(self, how):
        ended = self.process.poll()
        assert ended is None, f"{self.process.args} ended by itself with {ended}: {self.log.read_text()}"
        self.process.send_signal(how)
        return self.process.wait(PATIENCE_S)


class Scripted(Program):
    """A program with scripted sockets of vendors."""

    running = []

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.running.append(self)

    def stop(self, how):
        self.running.remove(self)
        return super().stop(how)

    def seen(self):
        """What its sockets were asked and what was said on them."""
        with urllib.request.urlopen(self.url + "/_live") as answer:
            return json.load(answer)


class Upstream(Scripted):
    """A scripted provider."""

    def __init__(self, kind, folder):
        self.kind = kind
        super().__init__([binary("loadtest"), "upstream", "--kind", kind], folder, kind)

    def _control(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, method=method)) as answer:
            return json.load(answer)

    def lead_to(self, room, token):
        """Ultravox's calls that are no sockets are led to this room."""
        self._control("POST", "/_room", {"url": room, "token": token})

    def script(self, path, times=1, **fault):
        """The next `times` requests whose path ends in `path` get the fault."""
        self._control("POST", "/_script", {"path": path, "times": times, "fault": fault})

    def requests(self):
        return self._control("GET", "/_requests")

    def violations(self):
        """What the upstream saw that no provider should: the client's key, unknown fields, ...."""
        return self._control("GET", "/_counts")["violations"]

    def reset(self):
        self._control("DELETE", "/_script")


class Vendors(Scripted):
    """The scripted vendors of live sessions."""

    def __init__(self, folder):
        super().__init__([binary("loadtest"), "live-upstream"], folder, "vendors")

    def drop_after(self, ms):
        urllib.request.urlopen(f"{self.url}/_drop/{ms}").close()


class Gateway(Program):
    """The gateway, and clients of it. `more` is added to its configuration."""

    def __init__(self, folder, upstreams, more=""):
        urls = {kind.replace("-", "_"): upstream.url for kind, upstream in upstreams.items()}
        urls["service_account"] = service_account(urls["google"], "voice")
        urls["revoked_account"] = service_account(urls["google"], "revoked")
        self.serve(folder, CONFIG.format(**{**globals(), **urls}) + more)

    def serve(self, folder, config, variables=None):
        """Starts it with this configuration, and waits until it is ready."""
        (folder / "antiphon.yaml").write_text(config)
        super().__init__([binary("antiphon"), "serve", "--config", "antiphon.yaml"], folder, "antiphon", variables)
        wait_for(self.ready)

    def address(self):
        assert self.process.poll() is None, f"ended at its start: {self.log.read_text()}"
        out = self.out.read_text()
        found = re.search(r"(http://[\d.]+:\d+)/v1", out)
        admin = re.search(r"admin plane: (http://[\d.]+:\d+)", out)
        self.admin_url = admin and admin.group(1)
        return found and found.group(1)

    def ready(self):
        try:
            with urllib.request.urlopen(self.url + "/readyz") as answer:
                return json.load(answer)
        except urllib.error.URLError:
            return None

    def client(self, key=KEY, **options):
        """The official SDK, without its own retries: what the gateway answers is what is seen."""
        options.setdefault("max_retries", 0)
        return openai.OpenAI(api_key=key, base_url=f"{self.url}/v1", timeout=PATIENCE_S, **options)


class LiveGateway(Gateway):
    """The gateway with a configuration of a module's own, which leads to the scripted vendors."""

    def __init__(self, folder, config):
        self.serve(folder, config)

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


@pytest.fixture(autouse=True)
def deadline():
    """A test that waits for an event that never comes fails instead of hanging."""

    def fail(*_):
        raise TimeoutError("the test took too long")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(180)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


SOCKETS = Sockets()
SPECS = {kind: Spec(kind) for kind in ("openai", "elevenlabs", "deepgram", "ultravox")}


@pytest.fixture(autouse=True)
def sockets_fit_the_specifications():
    """Whatever a test has said on a vendor's socket, or heard there, is what the vendor's document knows."""
    yield
    problems = [problem for scripted in Scripted.running for problem in SOCKETS.problems(scripted.seen())]
    assert not problems, "\n".join(problems)


@pytest.fixture(scope="module", autouse=True)
def requests_fit_the_specifications():
    """Whatever a module has asked a provider is what the provider's document knows."""
    yield
    asked = [(upstream.kind, described(upstream)) for upstream in Scripted.running if isinstance(upstream, Upstream)]
    problems = [problem for kind, requests in asked if kind in SPECS for problem in SPECS[kind].problems(requests)]
    assert not problems, "\n".join(problems)


def described(upstream):
    """The requests that a provider has had and that are in its document, as far as it is kept."""
    requests = upstream.requests()
    if upstream.kind != "openai":
        return requests
    # An upload that is broken off on purpose has no fields: the provider never had its end.
    whole = [request for request in requests if request["json"] or request["fields"]]
    return [request for request in whole if request["path"].startswith("/v1/audio/")]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("antiphon")


@pytest.fixture(scope="session")
def all_upstreams(folder):
    started = {}
    try:
        for kind in SCRIPTED:
            started[kind] = Upstream(kind, folder)
        yield started
        violations = {kind: upstream.violations() for kind, upstream in started.items()}
        assert not any(violations.values()), f"what no provider may see: {violations}"
    finally:
        for upstream in started.values():
            upstream.stop(signal.SIGINT)


@pytest.fixture(scope="session")
def gateway(folder, all_upstreams):
    gateway = Gateway(folder, all_upstreams)
    try:
        yield gateway
    finally:
        status = gateway.stop(signal.SIGTERM)
    assert status == 0, gateway.log.read_text()
    log = gateway.log.read_text()
    for secret in (KEY, ONLY_SPEECH, "sk-upstream"):
        assert secret not in log, "a credential is in the log"
    assert "panicked" not in log, log
    assert not list((folder / "data" / "spool").iterdir()), "an upload has outlived its call"


@pytest.fixture(scope="module")
def vendors(tmp_path_factory):
    vendors = Vendors(tmp_path_factory.mktemp("vendors"))
    yield vendors
    assert vendors.seen()["violations"] == []
    vendors.stop(signal.SIGINT)


@pytest.fixture(scope="module")
def live(live_config, tmp_path_factory):
    """A gateway before the scripted vendors, as the module's `live_config` says."""
    gateway = LiveGateway(tmp_path_factory.mktemp("live"), live_config)
    yield gateway
    assert gateway.stop(signal.SIGTERM) == 0
    log = gateway.log.read_text()
    assert "sk-upstream" not in log and "panicked" not in log


@pytest.fixture
def upstreams(all_upstreams):
    """The scripted providers, with no script left over for the next test."""
    yield all_upstreams
    for upstream in all_upstreams.values():
        upstream.reset()


@pytest.fixture(scope="session")
def client(gateway):
    with gateway.client() as client:
        yield client


def wav_of(pcm, rate, channels=1):
    """A WAV file around 16-bit samples."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    return file.getvalue()


@pytest.fixture(scope="session")
def tone():
    """2.5 seconds of a tone as a WAV file: what the scripted providers "hear" needs no words."""
    samples = (int(8000 * math.sin(2 * math.pi * 440 * n / 16000)) for n in range(40000))
    return ("tone.wav", wav_of(b"".join(struct.pack("<h", sample) for sample in samples), 16000), "audio/wav")


@pytest.fixture(scope="session")
def two_channels():
    """A second of silence in two channels as a WAV file."""
    return ("two.wav", wav_of(bytes(4 * 16000), 16000, channels=2), "audio/wav")


@pytest.fixture(scope="session")
def local_speech(client):
    """Speaks a sentence by `local`: as samples at 24 kHz, or as a WAV file."""

    def speak(text, response_format="pcm"):
        asked = {"model": "local/flite", "voice": "slt", "input": text, "response_format": response_format}
        return client.audio.speech.create(**asked).content

    return speak


@pytest.fixture(scope="session")
def spoken(local_speech):
    """A sentence that `local` spoke, as a WAV file to upload."""
    return ("spoken.wav", local_speech("This is a test of the speech system.", "wav"), "audio/wav")
