"""How the dashboard is served: its headers, encodings and caching, what it may talk to, and the page without a bundle."""

import gzip
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import tomllib
import urllib.parse

import pytest

import conftest
from browser import CONFIG, Site, evaluate, whole

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; font-src 'self'; connect-src 'self' {http} {ws}; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def ask(url, path, method="GET", **headers):
    """The answer's status, headers and body as they come over the wire."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=conftest.PATIENCE_S)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


def assets(site):
    """The paths of what the page is made of."""
    _, _, page = ask(site.admin_url, "/")
    return re.findall(rb'(?:href|src)="(/assets/[^"]+)"', page)


def test_the_page_keeps_browsers_from_everything_it_does_not_need(site):
    status, headers, body = ask(site.admin_url, "/")
    assert status == 200 and body.lstrip().lower().startswith(b"<!doctype html>")
    gateway = {"http": site.url, "ws": site.url.replace("http", "ws")}
    assert headers["content-security-policy"] == POLICY.format(**gateway)
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "microphone=(self)" in headers["permissions-policy"] and "camera=()" in headers["permissions-policy"]
    assert headers["cache-control"] == "no-cache"
    assert b"style=" not in body and not re.search(rb"<script(?![^>]*\bsrc=)", body), "the policy would forbid it"


def test_what_never_changes_is_kept_and_the_page_is_asked_for_again(site):
    status, headers, page = ask(site.admin_url, "/", accept_encoding="identity")
    assert status == 200 and headers["cache-control"] == "no-cache"
    tag = headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    status, headers, body = ask(site.admin_url, "/", accept_encoding="identity", if_none_match=tag)
    assert (status, body, headers["etag"]) == (304, b"", tag)
    found = assets(site)
    assert len(found) >= 2, page
    for path in map(bytes.decode, found):
        status, headers, whole = ask(site.admin_url, path, accept_encoding="identity")
        assert status == 200 and headers["cache-control"] == "public, max-age=31536000, immutable", path
        plain_tag, length = headers["etag"], headers["content-length"]
        assert int(length) == len(whole)
        tags = {plain_tag}
        for coding in ("br", "gzip"):
            status, headers, body = ask(site.admin_url, path, accept_encoding=f"{coding}, identity;q=0.5")
            if "content-encoding" in headers:
                assert (headers["content-encoding"], headers["vary"]) == (coding, "accept-encoding")
                assert len(body) < len(whole) and headers["etag"] not in tags, "other bytes have another tag"
                assert coding == "br" or gzip.decompress(body) == whole
                tags.add(headers["etag"])
        status, headers, body = ask(site.admin_url, path, method="HEAD", accept_encoding="identity")
        assert (status, headers["content-length"], headers["etag"], body) == (200, length, plain_tag, b"")


def test_every_path_that_is_nobody_elses_is_a_page(site):
    _, _, page = ask(site.admin_url, "/")
    for path in ("/keys", "/keys/0190c0de?tab=usage", "/login", "/no/such/page", "/voices/a.b"):
        status, headers, body = ask(site.admin_url, path)
        assert (status, body) == (200, page), path
        assert headers["content-security-policy"].startswith("default-src 'none'")
    for path in ("/assets/app-0.js", "/favicon.png", "/app.wasm", "/..%2fapp.js", "/assets/../index.html.br"):
        status, headers, body = ask(site.admin_url, path)
        assert status == 404 and json.loads(body)["code"] == "not_found", path
    for path in ("/api/v1/nothing", "/docs/nothing.js", "/readyz/deeper"):
        assert ask(site.admin_url, path)[0] == 404, path
    status, headers, _ = ask(site.admin_url, "/keys", method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    assert ask(site.admin_url, "/readyz")[0] == 200


def test_a_program_without_a_bundle_says_how_to_build_one(all_upstreams, tmp_path):
    # A debug build reads the bundle from the folder that it was built beside; here an empty one lies over it.
    unshare = shutil.which("unshare")
    binary = conftest.binary("antiphon")
    folder = re.search(rb"(/[\w./-]+?/admin)/\.\./web-ui/dist", binary.read_bytes())
    if not unshare or not folder or not pathlib.Path(folder[1].decode(), "../web-ui/dist").is_dir():
        pytest.skip("only a debug build beside its bundle can be started without it")
    empty = tmp_path / "empty"
    empty.mkdir()
    hidden = pathlib.Path(folder[1].decode(), "../web-ui/dist").resolve()
    hide = f'mount --bind {empty} {hidden} && exec "$0" "$@"'
    if subprocess.run([unshare, "-m", "sh", "-c", f"mount --bind {empty} {hidden}"], capture_output=True, check=False).returncode:
        pytest.skip("nobody may mount here")

    class Bare(conftest.Gateway):
        def __init__(self):
            (tmp_path / "antiphon.yaml").write_text(CONFIG)
            command = [unshare, "-m", "sh", "-c", hide, binary, "serve", "--config", "antiphon.yaml"]
            conftest.Program.__init__(self, command, tmp_path, "antiphon")

    bare = Bare()
    try:
        conftest.wait_for(bare.ready)
        status, headers, body = ask(bare.admin_url, "/keys")
        assert status == 503 and b"cargo xtask web" in body and headers["cache-control"] == "no-store"
        assert ask(bare.admin_url, "/api/v1/instance")[0] == 200
    finally:
        bare.process.terminate()
        bare.process.wait(conftest.PATIENCE_S)


def test_the_installation_is_told_before_anybody_has_signed_in(site):
    status, headers, body = ask(site.admin_url, "/api/v1/instance")
    told = json.loads(body)
    assert status == 200 and headers["cache-control"] == "no-store"
    workspace = tomllib.loads((conftest.ROOT / "Cargo.toml").read_text())["workspace"]
    assert told.pop("version") == workspace["package"]["version"]
    assert told == {"gateway_url": site.url, "sign_in": {"oidc": False, "oidc_name": None}}


def test_the_api_s_document_has_the_program_s_version(site):
    document = json.loads(ask(site.admin_url, "/api/v1/openapi.json")[2])
    assert document["info"]["version"] == json.loads(ask(site.admin_url, "/api/v1/instance")[2])["version"]


def test_public_addresses_are_told_and_their_pages_may_call(all_upstreams, tmp_path):
    more = 'public_url: "https://voice.example.com/", allowed_origins: ["https://antiphon.example.com"]'
    config = CONFIG.replace('gateway: { bind: "127.0.0.1:0"', f'gateway: {{ bind: "127.0.0.1:0", {more}')
    site = Site(tmp_path, all_upstreams, config)
    try:
        _, _, body = ask(site.admin_url, "/api/v1/instance")
        assert json.loads(body)["gateway_url"] == "https://voice.example.com"
        _, headers, _ = ask(site.admin_url, "/")
        assert "connect-src 'self' https://voice.example.com wss://voice.example.com;" in headers["content-security-policy"]
        for origin, allowed in (("https://antiphon.example.com", True), (site.admin_url, False)):
            _, headers, _ = ask(site.url, "/v1/models", origin=origin)
            assert ("access-control-allow-origin" in headers) is allowed, origin
    finally:
        site.process.terminate()
        site.process.wait(conftest.PATIENCE_S)


CALL = """
(async () => {
    const answer = await fetch(%s + "/v1/audio/speech", {
        method: "POST",
        headers: {authorization: "Bearer " + %s, "content-type": "application/json", "x-antiphon-tags": "page"},
        body: JSON.stringify({model: "voice", voice: "alloy", input: "Hello from a page."}),
    });
    const size = (await answer.arrayBuffer()).byteLength;
    const read = Object.fromEntries(["x-request-id", "x-antiphon-cost-usd", "server-timing"].map(name => [name, answer.headers.get(name)]));
    return {status: answer.status, size, ...read};
})()
"""


def test_the_page_calls_the_gateway_and_reads_what_it_has_cost(site, new_page):
    furnished = site.furnish()
    assert site.speak(furnished.secret), "the model is in force"
    page = new_page("/login")
    told = evaluate(page, CALL % (json.dumps(site.url), json.dumps(furnished.secret)))
    assert told["status"] == 200 and told["size"] > 0, told
    assert float(told["x-antiphon-cost-usd"]) > 0 and told["x-request-id"] and "gateway;dur=" in told["server-timing"]
    refused = evaluate(page, CALL % (json.dumps(site.url), json.dumps("sk-nobody-knows-this-key")))
    assert refused["status"] == 401 and refused["x-request-id"], "what was wrong is told too"


def test_the_page_can_talk_to_nobody_else(site, new_page, all_upstreams):
    page = new_page("/login")
    other = all_upstreams["groq"].url
    with page.expect_console_message(lambda message: "the policy forbids: connect-src" in message.text):
        told = evaluate(page, f"fetch({json.dumps(other)}).then(() => 'answered', error => error.name)")
    assert told == "TypeError"
    page.watch.expect("the policy forbids: connect-src")
    page.watch.expect("Content Security Policy")
    page.watch.expect(other)
    assert any("the policy forbids: connect-src" in problem for problem in page.watch.problems), page.watch.problems


def test_the_documentation_is_drawn_under_a_policy_of_its_own(site, new_page):
    page = new_page("/docs/")
    page.get_by_text("Antiphon admin API").first.wait_for()
    page.get_by_text("/api/v1/instance", exact=True).first.wait_for()


def test_the_part_of_a_page_is_fetched_when_it_is_opened(signed_in_page):
    page = signed_in_page("/")
    whole(page)

    def parts():
        return re.findall(r"/assets/part_(\w+)-", "\n".join(page.watch.requests))

    assert parts() == ["overview"]
    for name in ("Keys", "Users", "Tenants", "Keys"):
        page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
        page.get_by_role("heading", name=name, level=1).wait_for()
    assert parts() == ["overview", "keys", "people"]


def test_a_part_that_a_newer_version_has_under_another_name_is_told_with_an_offer_to_reload(signed_in_page):
    page = signed_in_page("/")
    page.get_by_role("heading", level=1).wait_for()
    page.watch.expect("part_usage")
    page.context.route("**/assets/part_usage*", lambda route: route.fulfill(status=404, body=""))
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Usage").click()
    page.get_by_role("alert").filter(has_text="Reload the page").wait_for()
    page.context.unroute("**/assets/part_usage*")
    page.get_by_role("button", name="Try again").click()
    page.get_by_role("heading", name="Usage", level=1).wait_for()
