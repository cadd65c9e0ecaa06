"""What the processes tell of themselves: metrics of the admin plane, the log's level, and profiles."""

import http.client
import re
import signal
import threading
import urllib.error
import urllib.parse
import urllib.request

import pytest

import conftest
from conftest import wait_for
from test_admin import CONFIG, Planes

NOBODY = "01900000-0000-7000-8000-000000000000"


def scrape(program):
    """Metrics of a process, by series."""
    url = wait_for(lambda: re.search(r"metrics are listening.*?(http://[\d.]+:\d+/metrics)", plain(program)))[1]
    with urllib.request.urlopen(url, timeout=conftest.PATIENCE_S) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")}


def plain(program):
    """The log without colours."""
    return re.sub(r"\x1b\[[\d;]*m", "", program.log.read_text())


def change(planes, method, token, body=None):
    """Asks for another level; gives the answer's status."""
    request = urllib.request.Request(
        f"{planes.admin_url}/api/v1/log-level", body and body.encode(), method=method,
        headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=conftest.PATIENCE_S) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.status


def refusals(planes):
    """Asks the gateway without a key, and counts the lines of the log that tell of that."""
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{planes.url}/v1/models", timeout=conftest.PATIENCE_S)
    refused.value.close()
    assert refused.value.code == 401
    return plain(planes).count(": refused ")


@pytest.fixture
def planes(tmp_path):
    planes = Planes(tmp_path)
    yield planes
    assert planes.stop(signal.SIGTERM) == 0, planes.log.read_text()


def test_the_admin_plane_is_measured_by_its_routes(planes):
    assert planes.ask("auth/login", body={"email": "admin@localhost", "password": "guessed"})[0] == 401
    token = planes.sign_in()
    assert planes.ask(f"keys/{NOBODY}", token)[0] == 404
    assert planes.ask(f"made-up/{NOBODY}")[0] == 404
    told = scrape(planes)
    requests = "antiphon_admin_requests_total"
    assert told['antiphon_login_refusals_total{reason="credentials"}'] == 1
    assert told[requests + '{method="POST",route="/api/v1/auth/login",status="4xx"}'] == 1
    assert told[requests + '{method="POST",route="/api/v1/auth/login",status="2xx"}'] == 1
    assert told[requests + '{method="GET",route="/api/v1/keys/{id}",status="4xx"}'] == 1
    duration = "antiphon_admin_request_duration_seconds"
    login = duration + '_bucket{method="POST",route="/api/v1/auth/login"'
    buckets = [value for name, value in told.items() if name.startswith(login)]
    assert len(buckets) > 10 and buckets == sorted(buckets) and buckets[-1] == 2
    assert not any(NOBODY in name or "made-up" in name for name in told), "labels come from the table of routes"

    connection = http.client.HTTPConnection(urllib.parse.urlsplit(planes.admin_url).netloc, timeout=conftest.PATIENCE_S)
    headers = {"authorization": f"Bearer {token}", "accept": "text/event-stream"}
    connection.request("GET", "/api/v1/sessions/events", headers=headers)
    events = connection.getresponse()
    assert events.readline() == b"event: sessions\n"
    assert scrape(planes)["antiphon_admin_event_streams"] == 1
    # Whoever has signed out sees no more, so that this ends the stream.
    assert planes.ask("auth/logout", token, {})[0] == 204
    wait_for(lambda: scrape(planes)["antiphon_admin_event_streams"] == 0)
    events.close()
    connection.close()


def test_a_log_level_holds_until_its_time_a_reload_or_its_removal(planes):
    token = planes.sign_in()
    levels = lambda: planes.ask("log-level", token)[1]
    configured = levels()
    assert (configured["levels"], configured["configured"], configured["until"]) == ("info", "info", None)
    assert configured["instance"] and configured["gateway"]
    for wrong in ("loud", "gateway=loud", "trace", "hyper=trace", "[span]=info"):
        assert change(planes, "PUT", token, '{"levels": "%s"}' % wrong) == 422, wrong
    assert levels() == configured

    assert refusals(planes) == 1, "told at `info`"
    assert change(planes, "PUT", token, '{"levels": "warn"}') == 200
    assert (levels()["levels"], levels()["until"]) == ("warn", None)
    assert refusals(planes) == 1
    assert change(planes, "PUT", token, '{"levels": "error", "for_seconds": 1}') == 200
    wait_for(lambda: levels() == configured)
    assert "the configured log levels are in force again" in plain(planes)
    assert refusals(planes) == 2

    assert change(planes, "PUT", token, '{"levels": "warn", "for_seconds": 3600}') == 200
    assert levels()["until"]
    planes.process.send_signal(signal.SIGHUP)
    wait_for(lambda: levels() == configured)
    assert change(planes, "PUT", token, '{"levels": "info,gateway=trace"}') == 200
    assert levels()["levels"] == "info,gateway=trace"
    assert change(planes, "DELETE", token) == 204
    assert levels() == configured


def test_a_profile_shows_what_the_process_does(planes):
    token = planes.sign_in()
    done, seen = threading.Event(), []

    def profile(query):
        url, headers = f"{planes.admin_url}/api/v1/debug/profile?{query}", {"authorization": f"Bearer {token}"}
        request = urllib.request.Request(url, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=conftest.PATIENCE_S) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.status, error.headers, error.read().decode()

    def sign_in():
        while not done.is_set():
            planes.sign_in()

    busy = threading.Thread(target=sign_in)
    busy.start()
    try:
        pair = [threading.Thread(target=lambda: seen.append(profile("seconds=2&format=folded"))) for _ in range(2)]
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()
    finally:
        done.set()
        busy.join()
    (status, _, stacks), (refused, headers, problem) = sorted(seen, key=lambda answer: answer[0])
    assert (status, refused) == (200, 409), seen
    assert headers["content-type"] == "application/problem+json" and '"busy"' in problem
    counts = [int(line.rsplit(" ", 1)[1]) for line in stacks.splitlines()]
    assert counts and all(count > 0 for count in counts)
    assert "argon2" in stacks, "passwords are hashed meanwhile"
    status, headers, picture = profile("seconds=1")
    assert status == 200 and headers["content-type"] == "image/svg+xml" and picture.startswith("<svg")
    assert "attachment" in headers["content-disposition"]
    told = planes.ask("audit?object_kind=profile", token)[1]["data"]
    assert [entry["after"]["format"] for entry in told] == ["svg", "folded"]


def test_an_admin_plane_by_itself_tells_its_metrics_where_it_can(tmp_path):
    class Admin(conftest.Program):
        def __init__(self, folder, name):
            command = [conftest.binary("antiphon"), "admin", "--config", "antiphon.yaml"]
            super().__init__(command, folder, name)

    (tmp_path / "antiphon.yaml").write_text(CONFIG)
    admin = Admin(tmp_path, "admin")
    with urllib.request.urlopen(f"{admin.url}/api/v1/instance") as answer:
        assert answer.status == 200
    told = scrape(admin)
    assert told['antiphon_admin_requests_total{method="GET",route="/api/v1/instance",status="2xx"}'] == 1
    assert "antiphon_resident_memory_bytes" not in told, "it is no gateway"
    taken = re.search(r"metrics are listening.*?http://([\d.]+:\d+)/metrics", plain(admin))[1]
    config = CONFIG.replace('metrics: { bind: "127.0.0.1:0" }', f'metrics: {{ bind: "{taken}" }}')
    (tmp_path / "antiphon.yaml").write_text(config)
    second = Admin(tmp_path, "second")
    assert "metrics are not told" in plain(second)
    for process in (second, admin):
        assert process.stop(signal.SIGTERM) == 0, process.log.read_text()
