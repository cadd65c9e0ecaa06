"""The image's file tree, built without an engine, serves: as a stranger to the system, on a root that is read-only."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import urllib.request

import pytest
import yaml
from helm_python.chart import Chart

from programs import ROOT

USER = "65532"
PATIENCE_S = 60
KEY = "key-of-the-image-test-0123456789"
EXPECTED = {"antiphon", "flite", "pocketsphinx_continuous", "prlimit"}


@pytest.fixture(scope="session")
def licences(tmp_path_factory):
    file = tmp_path_factory.mktemp("licences") / "THIRD-PARTY.txt"
    subprocess.run([sys.executable, ROOT / "scripts" / "release" / "licences.py", file], check=True, timeout=PATIENCE_S)
    return file


@pytest.fixture(scope="session", params=["", "speech"], ids=["plain", "speech"])
def tree(binary, licences, request, tmp_path_factory):
    """The image, without and with what the local provider needs."""
    folder = tmp_path_factory.mktemp("image") / "tree"
    command = [ROOT / "scripts" / "image-tree.sh", binary, licences, folder, *filter(None, [request.param])]
    subprocess.run(command, check=True, timeout=PATIENCE_S)
    yield folder
    shutil.rmtree(folder)


def bwrap(tree, *more):
    """A sandbox in which the tree is the root."""
    tool = shutil.which("bwrap")
    if tool is None:
        pytest.skip("bwrap is not here (Debian: bubblewrap)")
    return [tool, "--unshare-user", "--unshare-ipc", "--uid", USER, "--gid", USER, "--die-with-parent",
            "--clearenv", "--setenv", "PATH", "/usr/bin",
            "--ro-bind", tree, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", *more]


def inside(tree, *command):
    done = subprocess.run([*bwrap(tree), *command], capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_is_nothing_in_it_but_what_it_runs(tree, request):
    programs = {file.name for file in (tree / "usr" / "bin").iterdir()}
    assert programs == ({"antiphon"} if "plain" in request.node.name else EXPECTED)
    for file in tree.rglob("*"):
        mode = file.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        relative = file.relative_to(tree)
        assert not mode & (stat.S_ISUID | stat.S_ISGID), relative
        assert not mode & stat.S_IWOTH or str(relative) == "tmp", relative


def test_every_program_finds_its_libraries(tree, request):
    assert inside(tree, "/usr/bin/antiphon", "--version").startswith("antiphon ")
    if "speech" in request.node.name:
        assert "slt" in inside(tree, "/usr/bin/flite", "-lv")
        assert inside(tree, "/usr/bin/prlimit", "--version")


def test_the_licences_of_everything_in_it_are_in_it(tree, request):
    doc = tree / "usr" / "share" / "doc"
    assert "Apache License" in (doc / "antiphon" / "LICENSE").read_text()
    others = (doc / "antiphon" / "THIRD-PARTY.txt").read_text()
    assert "actix-web 4." in others and "leptos 0." in others
    packages = {file.parent.name for file in doc.glob("*/copyright")}
    assert {"libc6", "ca-certificates"} <= packages
    if "speech" in request.node.name:
        assert {"flite", "pocketsphinx", "pocketsphinx-en-us", "util-linux"} <= packages


@pytest.mark.parametrize(("known", "told"), [
    ("", "no package tells the licence of /"),
    ("diversion by one from: %s", "no package tells the licence of /"),
    ("one-that-is-not-here:amd64: %s", "one-that-is-not-here"),
])
def test_a_file_without_a_licence_stops_it(tmp_path, known, told):
    done = of_packages(known, tmp_path)
    assert done.returncode != 0 and told in done.stderr


def test_what_is_of_two_packages_has_the_licences_of_both(tmp_path):
    done = of_packages("libc6:amd64, ca-certificates: %s", tmp_path)
    assert done.returncode == 0, done.stderr
    doc = tmp_path / "tree" / "usr" / "share" / "doc"
    assert {file.parent.name for file in doc.glob("*/copyright")} == {"libc6", "ca-certificates"}


def of_packages(known, folder):
    """The tree of a small program on a system whose packages say `known` of every file."""
    (folder / "dpkg").write_text(f'#!/bin/sh\n[ "$1" = -S ] && printf "{known}\\n" "$2"\n')
    (folder / "dpkg").chmod(0o755)
    (folder / "licences").write_text("Of others.")
    command = [ROOT / "scripts" / "image-tree.sh", shutil.which("true"), folder / "licences", folder / "tree"]
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False,
                          timeout=PATIENCE_S)


def chart_configuration(folder):
    """What the chart writes for one pod on SQLite, with a key to call with."""
    tenants = [{"name": "acme", "keys": [{"name": "ci", "key": "${ACME_KEY}"}]}]
    values = {"database": {"kind": "sqlite"}, "gateway": {"replicas": 1}, "config": {"tenants": tenants}}
    with Chart.load(ROOT / "charts" / "antiphon") as chart:
        text = chart.render(values)["antiphon/templates/configmap.yaml"]
    (folder / "antiphon.yaml").write_text(yaml.safe_load(text)["data"]["antiphon.yaml"])


@contextlib.contextmanager
def served(tree, folder):
    """The program as the chart runs it, but at ports that are free, with its address and process id."""
    config, data = folder / "config", folder / "data"
    config.mkdir()
    data.mkdir()
    chart_configuration(config)
    listeners = ("GATEWAY", "ADMIN", "METRICS")
    variables = {f"ANTIPHON_SERVER__{name}__BIND": "127.0.0.1:0" for name in listeners}
    # Short, since nothing is in flight when it is told to stop.
    variables |= {"ACME_KEY": KEY, "ANTIPHON_TIMEOUTS__DRAIN_DELAY": "0s"}
    told = [part for name, value in variables.items() for part in ("--setenv", name, value)]
    told += ["--ro-bind", config, "/etc/antiphon", "--bind", data, "/var/lib/antiphon"]
    reading, writing = os.pipe()
    serve = ["/usr/bin/antiphon", "serve", "--config", "/etc/antiphon/antiphon.yaml"]
    command = [*bwrap(tree, *told), "--info-fd", str(writing), *serve]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, pass_fds=[writing])
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            child = json.load(told)["child-pid"]
        for line in process.stdout:
            if (found := re.search(r"Antiphon is ready: (http://\S+)/v1", line)) is not None:
                break
        else:
            raise AssertionError((folder / "log").read_text())
        yield process, child, found[1], data
    finally:
        # The sandbox ends with what runs in it.
        process.kill()
        process.stdout.close()
        process.wait(PATIENCE_S)


def get(url):
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        return answer.status, json.load(answer)


def post(url, content_type, body):
    headers = {"authorization": f"Bearer {KEY}", "content-type": content_type}
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=PATIENCE_S) as answer:
        return answer.read()


def speak(url):
    body = {"model": "local/flite", "voice": "slt", "input": "Good morning to you.", "response_format": "wav"}
    return post(f"{url}/v1/audio/speech", "application/json", json.dumps(body).encode())


def listen(url, audio):
    field = b'--part\r\ncontent-disposition: form-data; name="model"\r\n\r\nlocal/pocketsphinx\r\n'
    file = b'--part\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\ncontent-type: audio/wav\r\n\r\n'
    body = field + file + audio + b"\r\n--part--\r\n"
    return json.loads(post(f"{url}/v1/audio/transcriptions", "multipart/form-data; boundary=part", body))["text"]


def test_it_serves_without_rights_on_a_root_that_is_read_only_and_ends_in_order(tree, request, tmp_path):
    with served(tree, tmp_path) as (process, child, url, data):
        status, ready = get(f"{url}/readyz")
        assert (status, ready["status"], ready["database"]) == (200, "ready", "ok")
        # As a container has it: no capability, none to be gained, nothing of the root to be written.
        facts = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{child}/status").read_text().splitlines())
        assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == 0
        assert facts["NoNewPrivs"] == "1"
        mounts = [line.split() for line in pathlib.Path(f"/proc/{child}/mountinfo").read_text().splitlines()]
        assert all("ro" in mount[5].split(",") for mount in mounts if mount[4] == "/")
        assert (data / "antiphon.db").exists() and (data / "journal").is_dir()
        if "speech" in request.node.name:
            assert ready["local_speech"]["missing"] == []
            assert "morning" in listen(url, speak(url))
        else:
            assert ready["local_speech"]["missing"]
        os.kill(child, signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0


def test_the_dockerfile_takes_the_tree_from_the_script_and_runs_it_as_nobody():
    text = (ROOT / "Dockerfile").read_text()
    stages = re.split(r"^FROM ", text, flags=re.M)
    last = stages[-1]
    assert "RUN scripts/image-tree.sh ./antiphon ./THIRD-PARTY.txt /image $WITH" in stages[-2]
    assert last.startswith("scratch\n") and "COPY --from=tree /image /" in last
    assert f"USER {USER}:{USER}" in last
    assert 'ENTRYPOINT ["/usr/bin/antiphon"]' in last
    wanted = re.search(r'^rust-version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), flags=re.M)[1]
    assert f"ARG RUST={wanted}\n" in text
    # The program has the dashboard inside that is in the folder while it is compiled.
    build = next(stage for stage in stages if stage.startswith("tools AS build\n"))
    assert build.index("COPY --from=web /build/web-ui/dist web-ui/dist") < build.index("cargo build --release")
    assert "RUN cargo xtask web\n" in next(stage for stage in stages if stage.startswith("tools AS web\n"))


def test_what_the_builder_copies_has_every_crate_of_the_workspace():
    """A folder that .dockerignore leaves out by mistake would only be missed when an image is built."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    ignored = {line.strip("/ ") for line in lines if line and not line.startswith(("#", "*"))}
    manifest = (ROOT / "Cargo.toml").read_text()
    members = re.findall(r'"([^"]+)"', re.search(r"^members = \[(.*?)\]", manifest, flags=re.M | re.S)[1])
    assert len(members) > 10
    assert not ignored & {"xtask", ".cargo", *(member.split("/")[0] for member in members)}
