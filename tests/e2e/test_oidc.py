"""People sign in to the admin plane at an OpenID Connect provider: a real one, in a process of its own."""

import http.cookiejar
import json
import os
import pathlib
import re
import socket
import subprocess
import types
import urllib.error
import urllib.parse
import urllib.request

import pytest

import conftest
from browser import check_axe, check_width, open_page

NODE = pathlib.Path(__file__).parent / "node"

PEOPLE = {
    "ada": {"email": "ada@example.com", "email_verified": True, "name": "Ada", "groups": ["operators"]},
    "tom": {"email": "tom@acme.example", "email_verified": True, "name": "Tom", "groups": ["leads", "others"]},
    "eve": {"email": "eve@example.com", "email_verified": True, "groups": ["strangers"]},
    "mal": {"email": "root@example.com", "email_verified": False, "groups": ["operators"]},
}


class Browser:
    """Follows redirects one by one and keeps cookies, as browsers do."""

    def __init__(self):
        class Stay(urllib.request.HTTPRedirectHandler):
            def redirect_request(self, *_):
                return None

        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(Stay, urllib.request.HTTPCookieProcessor(self.jar))

    def ask(self, url, form=None, headers=()):
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(url, data=data, headers=dict(headers))
        try:
            answer = self.opener.open(request, timeout=conftest.PATIENCE_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            return answer.status, answer.headers.get("location"), answer.read().decode()

    def go(self, url, until, form=None):
        """Follows redirects to the first that leads to `until`, which is not asked."""
        for _ in range(10):
            status, location, text = self.ask(url, form)
            if location is None:
                return url, text
            url, form = urllib.parse.urljoin(url, location), None
            assert status in (302, 303), (status, location)
            if url.startswith(until):
                return url, None
        raise AssertionError("too many redirects")

    def sign_in(self, admin, issuer, name):
        """Signs in at the provider; gives where it sends the browser then, which is not asked yet."""
        callback = f"{admin}/api/v1/auth/oidc/callback"
        url, page = self.go(f"{admin}/api/v1/auth/oidc/start", callback)
        for form in ({"prompt": "login", "login": name, "password": "x"}, {"prompt": "consent"}):
            action = re.search(r'action="([^"]+)"', page)
            assert action, page
            url, page = self.go(urllib.parse.urljoin(url, action[1]), callback, form)
            if page is None:
                break
        assert url.startswith(callback), page
        return url

    def refresh(self, admin):
        headers = {"x-antiphon-refresh": "1"}
        return self.ask(f"{admin}/api/v1/auth/refresh", {}, headers | {"content-type": "application/json"})


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def planes(tmp_path_factory):
    """The admin plane and its identity provider: their addresses, and the command of the former."""
    folder = tmp_path_factory.mktemp("oidc")
    admin = f"http://127.0.0.1:{free_port()}"
    environment = {
        "PATH": os.environ["PATH"],
        "PEOPLE": json.dumps(PEOPLE),
        "REDIRECT_URI": f"{admin}/api/v1/auth/oidc/callback",
    }
    out = (folder / "provider.out").open("wb")
    provider = subprocess.Popen(
        ["node", str(NODE / "identity-provider.mjs")], cwd=NODE, env=environment, stdout=out, stderr=subprocess.STDOUT
    )
    try:
        found = lambda: re.search(r"^http://\S+$", (folder / "provider.out").read_text(), re.MULTILINE)
        issuer = conftest.wait_for(found)[0]
        config = f"""
server: {{ admin: {{ bind: "{admin.removeprefix("http://")}" }} }}
database: {{ url: "sqlite://data/antiphon.db" }}
tenants: [{{ name: acme }}]
oidc:
  issuer: "{issuer}"
  client_id: antiphon
  client_secret: a-secret-between-the-two
  scopes: [email, profile, groups]
  roles: {{ operators: {{ role: platform_admin }}, leads: {{ role: tenant_admin, tenant: acme }} }}
  allow_insecure: true
"""
        (folder / "antiphon.yaml").write_text(config)
        program = conftest.Program([str(conftest.binary("antiphon")), "admin"], folder, "admin")
        try:
            yield admin, issuer, program
        finally:
            program.process.terminate()
            program.process.wait(conftest.PATIENCE_S)
    finally:
        provider.terminate()
        provider.wait(conftest.PATIENCE_S)
        out.close()


def signed_in_as(admin, browser):
    status, _, text = browser.refresh(admin)
    assert status == 200, text
    token = json.loads(text)["access_token"]
    _, _, me = Browser().ask(f"{admin}/api/v1/auth/me", headers={"authorization": f"Bearer {token}"})
    return json.loads(me)


def test_whom_the_provider_vouches_for_is_signed_in_with_the_role_of_the_claim(planes):
    admin, issuer, program = planes
    ids = set()
    for _ in range(2):
        browser = Browser()
        assert browser.ask(browser.sign_in(admin, issuer, "ada"))[:2] == (303, "/")
        me = signed_in_as(admin, browser)
        assert (me["user"]["email"], me["user"]["name"], me["role"]) == ("ada@example.com", "Ada", "platform_admin")
        assert me["user"]["single_sign_on"] and not me["user"]["has_password"] and "tenant_id" not in me
        ids.add(me["user"]["id"])
    assert len(ids) == 1, "the second time it is the same user"

    browser = Browser()
    browser.ask(browser.sign_in(admin, issuer, "tom"))
    me = signed_in_as(admin, browser)
    assert (me["role"], me["user"]["role"]) == ("tenant_admin", "tenant_admin") and me["tenant_id"]
    log = program.log.read_text() + program.out.read_text()
    assert "a-secret-between-the-two" not in log and "eyJ" not in log


def test_whoever_has_no_role_is_not_signed_in(planes):
    admin, issuer, program = planes
    for name in ("eve", "mal"):
        browser = Browser()
        callback = browser.sign_in(admin, issuer, name)
        assert browser.ask(callback)[:2] == (303, "/login?error=oidc_not_permitted")
        assert browser.refresh(admin)[0] == 401


def test_an_answer_is_taken_once_and_from_its_own_browser_alone(planes):
    admin, issuer, _ = planes
    failed = (303, "/login?error=oidc_state")
    victim, attacker = Browser(), Browser()
    callback = attacker.sign_in(admin, issuer, "ada")
    assert victim.ask(callback)[:2] == failed, "the answer of another browser"
    victim.ask(f"{admin}/api/v1/auth/oidc/start")
    assert victim.ask(callback)[:2] == failed, "nor with a sign-in of its own"
    assert victim.refresh(admin)[0] == 401

    state = next(cookie for cookie in attacker.jar if cookie.name == "antiphon_oidc")
    assert attacker.ask(callback)[:2] == (303, "/")
    attacker.jar.set_cookie(state)
    assert attacker.ask(callback)[:2] == failed, "a second time"

    for query in ("", "?code=x", "?state=x", "?code=x&state=x", "?error=access_denied"):
        assert Browser().ask(f"{admin}/api/v1/auth/oidc/callback{query}")[:2] == failed, query
    browser = Browser()
    _, location, _ = browser.ask(f"{admin}/api/v1/auth/oidc/start")
    sent = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
    assert sent["code_challenge_method"] == ["S256"] and len(sent["nonce"][0]) == 43
    wrong = f"{admin}/api/v1/auth/oidc/callback?code=wrong&state={sent['state'][0]}"
    assert browser.ask(wrong)[:2] == (303, "/login?error=oidc_provider")


def test_a_code_of_another_sign_in_is_refused(planes):
    """The code of one sign-in in the answer to another: its nonce and its code verifier are others."""
    admin, issuer, _ = planes
    mine, theirs = Browser(), Browser()
    code = urllib.parse.parse_qs(urllib.parse.urlsplit(theirs.sign_in(admin, issuer, "ada")).query)["code"][0]
    _, location, _ = mine.ask(f"{admin}/api/v1/auth/oidc/start")
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["state"][0]
    mixed = f"{admin}/api/v1/auth/oidc/callback?code={code}&state={state}"
    assert mine.ask(mixed)[:2] == (303, "/login?error=oidc_provider")
    assert mine.refresh(admin)[0] == 401


def test_a_wrong_nonce_is_refused(planes):
    """The browser asks the provider with another nonce: the ID token then holds that one."""
    admin, issuer, _ = planes
    browser = Browser()
    callback = f"{admin}/api/v1/auth/oidc/callback"
    _, location, _ = browser.ask(f"{admin}/api/v1/auth/oidc/start")
    changed = re.sub(r"nonce=[^&]+", "nonce=another-nonce", location)
    assert changed != location
    url, page = browser.go(changed, callback)
    for form in ({"prompt": "login", "login": "ada", "password": "x"}, {"prompt": "consent"}):
        action = re.search(r'action="([^"]+)"', page)
        url, page = browser.go(urllib.parse.urljoin(url, action[1]), callback, form)
        if page is None:
            break
    assert browser.ask(url)[:2] == (303, "/login?error=oidc_provider")
    assert browser.refresh(admin)[0] == 401


@pytest.fixture
def page(planes, chromium, opened):
    """A page of a browser that nobody has used yet, which the identity provider may be asked from."""
    admin, issuer, _ = planes
    page = open_page(chromium, types.SimpleNamespace(admin_url=admin, url=issuer))
    # What the provider's form looks like is not at hand, and is not looked at.
    page.context.route("https://fonts.googleapis.com/**", lambda route: route.abort())
    for part in ("fonts.googleapis.com", "net::ERR_FAILED"):
        page.watch.expect(part)
    opened.append(page)
    return page


def agree(page, admin, name):
    """Signs in at the provider, whose form the page shows."""
    page.get_by_placeholder("Enter any login").fill(name)
    page.get_by_placeholder("and password").fill("x")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{admin}/**")


def test_the_sign_in_page_leads_to_the_provider_and_back_to_where_one_wanted_to_go(planes, page):
    admin, _, _ = planes
    page.goto("/users?role=tenant_admin")
    link = page.get_by_role("link", name=re.compile("^Sign in with "))
    link.wait_for()
    check_axe(page)
    link.click()
    agree(page, admin, "ada")
    page.wait_for_url(f"{admin}/users?role=tenant_admin")
    page.get_by_role("heading", name="Users", level=1).wait_for()
    page.reload()
    page.get_by_role("heading", name="Users", level=1).wait_for()
    page.get_by_role("button", name="Account").click()
    page.get_by_text("ada@example.com").first.wait_for()


def test_whoever_the_provider_vouches_for_but_has_no_role_is_told_so(planes, page):
    admin, _, _ = planes
    page.set_viewport_size({"width": 375, "height": 800})
    page.goto("/login")
    link = page.get_by_role("link", name=re.compile("^Sign in with "))
    link.wait_for()
    check_width(page)
    link.click()
    agree(page, admin, "eve")
    page.get_by_text("Your account has no access here").wait_for()
    assert page.get_by_role("navigation", name="Main").count() == 0
    check_axe(page)


def test_a_sign_in_that_ends_in_mid_work_is_renewed_at_the_provider_in_another_tab(planes, page):
    admin, _, _ = planes
    page.goto("/login?next=%2Faccount")
    page.get_by_role("link", name=re.compile("^Sign in with ")).click()
    agree(page, admin, "ada")
    page.wait_for_url(f"{admin}/account")
    page.get_by_role("button", name="Create token").click()
    dialog = page.get_by_role("dialog", name="Create token")
    dialog.get_by_label("Name").fill("half written")
    end_sign_ins(page)
    dialog.get_by_role("button", name=re.compile("Create")).click()
    again = page.get_by_role("dialog", name="Sign in again")
    # The provider knows who is there and asks nothing.
    with page.context.expect_page() as other:
        again.get_by_role("link", name=re.compile("^Sign in with ")).click()
    other.value.get_by_role("navigation", name="Main").wait_for()
    again.wait_for(state="hidden")
    # What waited is done; what was typed is in it.
    page.get_by_text("half written").first.wait_for()


def end_sign_ins(page):
    """Ends every sign-in of whoever the page is of, as they may do themselves from elsewhere."""
    answer = page.request.post("/api/v1/auth/refresh", headers={"x-antiphon-refresh": "1"})
    by = {"authorization": f"Bearer {answer.json()['access_token']}"}
    for session in page.request.get("/api/v1/auth/sessions", headers=by).json()["data"]:
        assert page.request.delete(f"/api/v1/auth/sessions/{session['id']}", headers=by).status in (204, 401)
