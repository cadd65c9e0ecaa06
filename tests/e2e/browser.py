"""The dashboard in a real Chromium, before the real server with real data.

Fixtures for tests of pages:

    site              both planes of a new machine, its first administrator, scripted providers behind it (per module)
    new_page          a page of a browser that nobody has used yet; `new_page(path="/login", width=375, theme="dark")`
    signed_in_page    the same, signed in: `signed_in_page("/keys")`, `signed_in_page("/keys", viewer)`

Whatever goes wrong in a page fails its test at the end: errors in the console, exceptions, what the content security
policy forbids, answers 500 and above, and requests to any other origin than the admin plane's and the gateway's. A test
that provokes such a thing says so: `page.watch.expect("a part of the message")`.
"""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import signal
import time
import types
import urllib.error
import urllib.parse
import urllib.request

import pytest

import conftest

NODE_MODULES = pathlib.Path(__file__).parent / "node" / "node_modules"
WIDE, NARROW = 1440, 375
# So long the end of a request may go untold.
MOST_UNTOLD_S = 3.0
PASSWORD = "correct horse battery"
CONFIG = """
server:
  gateway: { bind: "127.0.0.1:0" }
  admin: { bind: "127.0.0.1:0" }
  metrics: { bind: "127.0.0.1:0" }
  data_dir: data
database: { url: "sqlite://data/antiphon.db" }
"""
# No service of Google's is asked anything, and nothing is drawn by a graphics card.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-features=Translate,OptimizationHints,MediaRouter",
    # Whoever tries a microphone out has one, and is not asked for permission. Without a file it beeps.
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--autoplay-policy=no-user-gesture-required",
]


def program():
    """Where Chromium is: what playwright would download is not used."""
    told = os.environ.get("CHROMIUM")
    found = told or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "chromium is missing (scripts/setup.sh test installs it)"
    return found


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody who may sign in."""

    email: str
    password: str
    role: str = "platform_admin"
    tenant_id: str = None
    id: str = None


class Site(conftest.Gateway):
    """Both planes of a new machine, with a first administrator whose password is known."""

    admin = Person("root@example.com", PASSWORD)

    def __init__(self, folder, upstreams, config=CONFIG):
        self.folder, self.upstreams = folder, upstreams
        self._tokens = {}
        variables = {"ANTIPHON_ADMIN_EMAIL": self.admin.email, "ANTIPHON_ADMIN_PASSWORD": self.admin.password}
        self.serve(folder, config, variables)

    def ask(self, method, path, body=None, by=None, expected=(200, 201, 202, 204)):
        """What the admin API answers to the administrator, or to another person."""
        return self._ask(method, path, body, self.token(by or self.admin), expected)

    def token(self, person):
        """An access token of a person."""
        if person not in self._tokens:
            told = self._ask("POST", "auth/login", {"email": person.email, "password": person.password})
            self._tokens[person] = told["access_token"]
        return self._tokens[person]

    def _ask(self, method, path, body=None, token="", expected=(200, 201, 202, 204)):
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(f"{self.admin_url}/api/v1/{path}", data, headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=conftest.PATIENCE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            text = answer.read().decode()
            assert answer.status in expected, f"{method} {path}: {answer.status} {text}"
            return json.loads(text) if text.startswith(("{", "[")) else text

    def tenant(self, name):
        """The tenant of this name, which is made where it is missing."""
        found = [tenant for tenant in self.ask("GET", f"tenants?q={name}")["data"] if tenant["name"] == name]
        return found[0] if found else self.ask("POST", "tenants", {"name": name})

    def person(self, role, tenant=None, email=None):
        """Somebody new with this role, in the tenant of this name; platform administrators have none."""
        tenant_id = tenant and self.tenant(tenant)["id"]
        email = email or f"{role.replace('_', '-')}-{len(self._tokens)}@{tenant or 'example'}.example"
        body = {"email": email, "role": role} | ({"tenant_id": tenant_id} if tenant else {})
        invited = self.ask("POST", "users", body)
        self._ask("POST", "auth/accept", {"token": invited["invitation"]["token"], "password": PASSWORD})
        person = Person(email, PASSWORD, role, tenant_id, invited["id"])
        self.token(person)
        return person

    def provider(self, kind="openai", name=None, **fields):
        """A provider that leads to the scripted one of its kind, with a credential."""
        # As the kind's own addresses are below its host.
        below = {"openai": "/v1", "groq": "/openai/v1", "ultravox": "/api"}.get(kind, "")
        body = {"name": name or kind, "kind": kind, "base_url": self.upstreams[kind].url + below, "allow_insecure": True}
        made = self.ask("POST", "providers", body | fields)
        self.ask("POST", f"providers/{made['id']}/credentials", {"label": "main", "secret": "sk-upstream"})
        return made

    def furnish(self):
        """What most pages show: a tenant `acme` with a key, a provider, and models for each operation."""
        tenant, provider = self.tenant("acme"), self.provider()
        models = {}
        for name, model in {"voice": "tts-1", "dictation": "whisper-1", "agent": "gpt-realtime"}.items():
            targets = [{"provider": provider["name"], "model": model}]
            models[name] = self.ask("POST", "models", {"name": name, "targets": targets})
        key = self.ask("POST", "keys", {"name": "app", "tenant_id": tenant["id"]})
        return types.SimpleNamespace(tenant=tenant, provider=provider, models=models, key=key, secret=key["secret"])

    def speak(self, secret, text="Hello from the dashboard's tests.", model="voice"):
        """A call by the official SDK; its record is there a second later."""
        # What was made a moment ago is in force within a second.
        return conftest.wait_for(lambda: self._speak(secret, text, model))

    def _speak(self, secret, text, model):
        try:
            return self.client(secret).audio.speech.create(model=model, voice="alloy", input=text).content
        except conftest.openai.APIStatusError as error:
            if error.status_code in (401, 403, 404):
                return None
            raise

    def records(self, least=1):
        """Usage records, once there are so many."""
        def found():
            told = self.ask("GET", "usage/records")["data"]
            return told if len(told) >= least else None

        return conftest.wait_for(found)


class Watch:
    """Notes what goes wrong in the pages of one browser context."""

    # Browsers write one line for each answer that is no success; those are looked at as answers.
    ANSWERS = re.compile(r"Failed to load resource: the server responded with a status of (4\d\d)")

    def __init__(self, context, origins):
        self.origins, self.problems, self.expected, self.requests = origins, [], [], []
        context.add_init_script(
            "addEventListener('securitypolicyviolation', event => console.error("
            "`the policy forbids: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`))"
        )
        context.on("console", self._console)
        context.on("weberror", lambda error: self._note(f"exception: {error.error}"))
        context.on("request", self._request)
        context.on("response", self._response)
        context.on("page", lambda page: page.on("websocket", lambda socket: self._origin(socket.url)))

    def expect(self, part):
        """What has this in it is no problem: the test makes it happen."""
        self.expected.append(part)

    def check(self):
        """Fails where anything has gone wrong that was not expected."""
        problems = [problem for problem in self.problems if not any(part in problem for part in self.expected)]
        assert not problems, "in the page:\n  " + "\n  ".join(problems)

    def _note(self, problem):
        self.problems.append(problem)

    def _console(self, message):
        if message.type == "error" and not self._is_told(message):
            self._note(f"console: {message.text} ({message.location.get('url')})")

    def _is_told(self, message):
        """A refusal by an API is an answer like others; a part of the page that is missing is not."""
        path = urllib.parse.urlsplit(message.location.get("url") or "").path
        return self.ANSWERS.match(message.text) and path.startswith(("/api/", "/v1/"))

    def _request(self, request):
        self.requests.append(f"{request.method} {request.url}")
        self._origin(request.url)

    def _response(self, response):
        if response.status >= 500:
            self._note(f"{response.status}: {response.request.method} {response.url}")

    def _origin(self, url):
        scheme, host = urllib.parse.urlsplit(url)[:2]
        origin = f"{scheme.replace('ws', 'http')}://{host}"
        if scheme not in ("data", "blob") and origin not in self.origins:
            self._note(f"another origin is asked: {url}")


def open_page(chromium, site, path=None, width=WIDE, height=900, theme="light", **options):
    """A page of a browser that nobody has used yet. `page.watch` has what goes wrong in it."""
    options = {"locale": "en-GB", "timezone_id": "Europe/Berlin", "reduced_motion": "reduce"} | options
    size = {"width": width, "height": height}
    context = chromium.new_context(base_url=site.admin_url, viewport=size, color_scheme=theme, **options)
    context.grant_permissions(["clipboard-read", "clipboard-write", "microphone"])
    context.set_default_timeout(conftest.PATIENCE_S * 1000)
    watch = Watch(context, {site.admin_url, site.url})
    page = context.new_page()
    page.watch = watch
    if path is not None:
        page.goto(path)
    return page


def open_signed_in(chromium, site, path="/", person=None, **options):
    """The same, of a person who has signed in, the first administrator unless told otherwise."""
    # What the page leaves in a browser that has signed in, so that it asks whether the sign-in still is.
    hint = {"origin": site.admin_url, "localStorage": [{"name": "antiphon.signed-in", "value": "1"}]}
    page = open_page(chromium, site, storage_state={"cookies": [], "origins": [hint]}, **options)
    person = person or site.admin
    # The cookie of the sign-in stays with the browser, as it does after a reload.
    answer = page.request.post("/api/v1/auth/login", data={"email": person.email, "password": person.password})
    assert answer.ok, answer.text()
    if path is not None:
        page.goto(path)
    return page


def launched(playwright, more=()):
    """A Chromium as every test has it."""
    return playwright.chromium.launch(executable_path=program(), args=[*ARGUMENTS, *more])


@pytest.fixture(scope="module")
def site(all_upstreams, tmp_path_factory):
    """Both planes of a new machine; see `Site`. Empty but for its first administrator."""
    site = Site(tmp_path_factory.mktemp("site"), all_upstreams)
    yield site
    assert site.stop(signal.SIGTERM) == 0, site.log.read_text()
    assert "panicked" not in site.log.read_text(), site.log.read_text()


@pytest.fixture(scope="module")
def chromium_arguments():
    """More for its command line, such as `--use-file-for-fake-audio-capture=FILE.wav`: a module has its own of these."""
    return []


@pytest.fixture(scope="module")
def chromium(chromium_arguments):
    """One browser for a module; each page that is asked for is of a user of its own."""
    # For a module and no longer: while it runs, nothing else in this thread may run a loop of asyncio.
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launched(playwright, chromium_arguments)
        yield browser
        browser.close()


@pytest.fixture
def opened():
    """The pages of a test: what has gone wrong in them fails it when it is over."""
    pages = []
    yield pages
    for page in pages:
        page.context.close()
    for page in pages:
        page.watch.check()


@pytest.fixture
def new_page(chromium, site, opened):
    """Makes pages, each of a browser that nobody has used yet; see `open_page`."""

    def make(*arguments, **options):
        opened.append(open_page(chromium, site, *arguments, **options))
        return opened[-1]

    return make


@pytest.fixture
def signed_in_page(chromium, site, opened):
    """Makes pages of people who have signed in; see `open_signed_in`."""

    def make(*arguments, **options):
        opened.append(open_signed_in(chromium, site, *arguments, **options))
        return opened[-1]

    return make


def evaluate(page, expression):
    """The value of an expression in a page, whatever its policy says of scripts."""
    session = page.context.new_cdp_session(page)
    told = session.send("Runtime.evaluate", {"expression": expression, "awaitPromise": True, "returnByValue": True})
    session.detach()
    assert "exceptionDetails" not in told, told["exceptionDetails"]
    return told["result"].get("value")


def check_axe(page):
    """Fails on what axe-core calls serious or critical."""
    evaluate(page, (NODE_MODULES / "axe-core" / "axe.min.js").read_text() + ";0")
    found = evaluate(page, "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)")
    told = [
        f"{violation['id']} ({violation['impact']}): {violation['help']}: {node['html'][:200]}\n    {node['failureSummary']}"
        for violation in found if violation["impact"] in ("serious", "critical") for node in violation["nodes"]
    ]
    assert not told, f"at {page.url} axe finds:\n  " + "\n  ".join(told)


def check_width(page):
    """Fails where the page itself scrolls sideways."""
    inner, outer = evaluate(page, "[document.documentElement.scrollWidth, innerWidth]")
    assert inner <= outer, f"{page.url} is {inner} pixels wide in a window of {outer}"


class Held:
    """Requests to `pattern` that a test keeps from their server until it releases them, oldest first."""

    def __init__(self, page, pattern, method="GET"):
        self.page, self._routes, self._method, self._over = page, [], method, False
        page.route(pattern, self._take)

    def _take(self, route):
        if self._over or route.request.method != self._method:
            route.continue_()
        else:
            self._routes.append(route)

    def wait(self, count=1):
        """Waits until so many are held."""
        conftest.wait_for(lambda: evaluate(self.page, "0") == 0 and len(self._routes) >= count)

    def release(self, place=0):
        """Lets one go, and waits until the page has read its answer."""
        self._answer(self._routes.pop(place))

    def end(self):
        """Lets all go, and holds no more."""
        self._over = True
        while self._routes:
            self.release()

    def _answer(self, route):
        ended = []

        def tell(request):
            if request == route.request:
                ended.append(request)

        for event in ("requestfinished", "requestfailed"):
            self.page.on(event, tell)
        route.fulfill(response=route.fetch())
        # Of what a page has read and then breaks off, the browser may tell nothing more.
        until = time.monotonic() + MOST_UNTOLD_S
        while not ended and time.monotonic() < until:
            evaluate(self.page, "new Promise(done => setTimeout(() => done(0), 20))")
        for event in ("requestfinished", "requestfailed"):
            self.page.remove_listener(event, tell)
        # What is read is painted with the next frame.
        evaluate(self.page, "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")


def looks(page, folder, name):
    """Pictures of a page as it is, light and dark, wide and narrow; gives their paths."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    before, paths = page.viewport_size, []
    for width in (WIDE, NARROW):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            wear(page, theme)
            paths.append(folder / f"{name}-{width}-{theme}.png")
            page.screenshot(path=paths[-1], full_page=True, animations="disabled")
    page.set_viewport_size(before)
    wear(page, "light")
    return paths


def whole(page):
    """Waits until a page has what it asks for when it is opened."""
    page.get_by_role("heading", level=1).first.wait_for()
    page.wait_for_load_state("networkidle")
    # On a slow machine the network was idle before, too: while the program was made ready that asks.
    page.locator(".skeleton").first.wait_for(state="detached")


def wear(page, theme):
    """The browser asks for a theme, and the page is painted in it."""
    page.emulate_media(color_scheme=theme)
    conftest.wait_for(lambda: evaluate(page, "document.documentElement.dataset.theme") == theme or None)
    evaluate(page, "Promise.all(document.getAnimations().map(one => one.finished.catch(() => {}))).then(() => 0)")
