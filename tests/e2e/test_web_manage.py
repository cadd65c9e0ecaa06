"""Pages of the dashboard that manage: keys, users, tenants, settings and the audit log."""

import csv
import json
import re

import pytest

import conftest
from browser import NARROW, Held, check_axe, check_width, evaluate, wear, whole

HIDING_PLACES = (
    "JSON.stringify([document.documentElement.outerHTML, "
    "...[...document.querySelectorAll('input, textarea')].map(field => field.value), "
    "Object.entries(localStorage), Object.entries(sessionStorage), location.href, history.state])"
)


@pytest.fixture(scope="module")
def told(site):
    """What `furnish` makes, two people of its tenant, and an administrator of another tenant."""
    told = site.furnish()
    told.admin = site.person("tenant_admin", "acme")
    told.viewer = site.person("tenant_viewer", "acme")
    told.stranger = site.person("tenant_admin", "other")
    told.budgeted = site.ask("POST", "keys", {
        "name": "budgeted", "tenant_id": told.tenant["id"], "budget": {"usd": "5.00", "window": "monthly"},
        "requests_per_minute": 600,
    })
    site.speak(told.secret)
    site.records()
    return told


def dialog_of(page, name):
    return page.get_by_role("dialog", name=name, exact=True)


def row(page, text):
    return page.get_by_role("row").filter(has_text=text).first


def heading(page, name=None):
    page.get_by_role("heading", level=1, name=name).wait_for() if name else page.get_by_role("heading", level=1).wait_for()


def options(page, label, choice):
    """Chooses in a list whose choices come a moment later."""
    field = page.get_by_label(label, exact=True)
    field.locator("option", has_text=choice).first.wait_for(state="attached")
    field.select_option(label=choice)


def name_anew(page, kind, name):
    page.get_by_role("button", name="Edit").click()
    dialog = dialog_of(page, f"Edit {kind}")
    dialog.get_by_label("Name", exact=True).fill(name)
    dialog.get_by_role("button", name="Save changes").click()
    dialog.wait_for(state="hidden")
    heading(page, name)


def test_a_keys_secret_is_shown_once_and_serves(site, told, signed_in_page):
    page = signed_in_page("/keys?new=1")
    dialog = dialog_of(page, "Create key")
    dialog.get_by_label("Name", exact=True).fill("checkout")
    options(dialog, "Tenant", "acme")
    dialog.get_by_label("Speech", exact=True).check()
    dialog.get_by_label(re.compile("^Models")).fill("vo*\nother")
    dialog.get_by_label(re.compile("Budget in US dollars")).fill("nothing")
    dialog.get_by_label(re.compile("Requests a minute")).fill("60")
    dialog.get_by_label(re.compile("Largest upload")).fill("2.5")
    dialog.get_by_role("button", name="Create key").click()
    # What is wrong stands beside its field, and nothing that was typed is lost.
    dialog.locator(".field.invalid", has_text="Budget in US dollars").wait_for()
    assert dialog.get_by_label("Name", exact=True).input_value() == "checkout"
    dialog.get_by_label(re.compile("Budget in US dollars")).fill("12.50")
    dialog.get_by_label("Name", exact=True).press("Enter")
    secret = dialog.get_by_label("Secret", exact=True).input_value()
    assert secret.startswith("sk-ap-")
    check_axe(page)
    for tab, sign in {"curl": "curl ", "Python": "OpenAI(base_url=", "Node": "new OpenAI({ baseURL:"}.items():
        dialog.get_by_role("tab", name=tab).click()
        shown = dialog.get_by_role("region", name=tab)
        shown.filter(has_text=re.compile('model"?[=:] ?"voice"')).wait_for()
        text = shown.inner_text()
        assert sign in text and secret in text and f"{site.url}/v1" in text, text
    dialog.get_by_role("button", name="Copy secret").click()
    conftest.wait_for(lambda: evaluate(page, "navigator.clipboard.readText()") == secret)
    dialog.get_by_role("button", name="Done").click()
    dialog.wait_for(state="hidden")
    assert secret not in evaluate(page, HIDING_PLACES), "the secret is nowhere once its dialog is closed"
    row(page, "checkout").wait_for()
    assert secret not in evaluate(page, HIDING_PLACES)
    made = site.ask("GET", "keys?q=checkout")["data"][0]
    assert (float(made["budget"]["usd"]), made["budget"]["window"]) == (12.5, "monthly") and made["operations"] == ["speech"]
    assert (made["models"], made["requests_per_minute"], made["max_upload_bytes"]) == (["vo*", "other"], 60, 2_500_000)
    assert site.speak(secret)


def test_keys_are_found_by_what_stands_in_the_address(site, told, signed_in_page):
    page = signed_in_page("/keys")
    row(page, "budgeted").get_by_role("meter").wait_for()
    assert "of $5.00" in row(page, "budgeted").inner_text()
    row(page, "app").get_by_text(re.compile("just now|ago")).wait_for()
    page.get_by_role("searchbox", name="Search keys").fill("budg")
    page.get_by_role("cell", name="app", exact=True).wait_for(state="hidden")
    page.wait_for_url(re.compile("q=budg"))
    page.reload()
    row(page, "budgeted").wait_for()
    page.get_by_label("State", exact=True).select_option(label="Revoked")
    page.get_by_text("No key fits").wait_for()
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("link", name="app", exact=True).wait_for()
    page.goto("/keys?sort=name")
    row(page, "budgeted").wait_for()
    names = page.get_by_role("table", name="Keys").locator("tbody tr:not(.table-space) td:first-child").all_inner_texts()
    assert names == sorted(names) and len(names) >= 2


def test_a_key_is_changed_unless_somebody_was_faster(site, told, signed_in_page):
    key = site.ask("POST", "keys", {"name": "edited", "tenant_id": told.tenant["id"], "requests_per_minute": 5})
    page = signed_in_page(f"/keys/{key['id']}", told.admin)
    heading(page, "edited")
    page.get_by_role("button", name="Edit").click()
    dialog = dialog_of(page, "Edit key")
    field = dialog.get_by_label(re.compile("Requests a minute"))
    assert field.input_value() == "5"
    site.ask("PATCH", f"keys/{key['id']}", {"requests_per_minute": 7})
    field.fill("9")
    dialog.get_by_role("button", name="Save changes").click()
    dialog.get_by_text("Somebody else has changed it").wait_for()
    assert field.input_value() == "9"
    dialog.get_by_role("button", name="Load it again").click()
    conftest.wait_for(lambda: field.input_value() == "7")
    field.fill("")
    dialog.get_by_label("Name", exact=True).fill("edited well")
    dialog.get_by_role("button", name="Save changes").click()
    dialog.wait_for(state="hidden")
    heading(page, "edited well")
    now = site.ask("GET", f"keys/{key['id']}")
    assert (now["name"], now["requests_per_minute"]) == ("edited well", None)


def test_a_rotated_key_has_two_secrets_and_a_revoked_one_none(site, told, signed_in_page):
    key = site.ask("POST", "keys", {"name": "turning", "tenant_id": told.tenant["id"]})
    site.speak(key["secret"])
    page = signed_in_page(f"/keys/{key['id']}")
    page.get_by_role("button", name="Rotate").click()
    dialog = dialog_of(page, "Rotate secret")
    dialog.get_by_label("The old secret works for").select_option(label="An hour")
    dialog.get_by_role("button", name="Rotate secret").click()
    secret = dialog.get_by_label("Secret", exact=True).input_value()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert secret not in evaluate(page, HIDING_PLACES)
    page.get_by_text("The secret before still works").wait_for()
    assert site.speak(secret) and site.speak(key["secret"])
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Revoke").click()
    dialog = dialog_of(page, "Revoke key")
    dialog.get_by_text("This cannot be undone").wait_for()
    dialog.get_by_label("Reason").fill("seen in a log")
    dialog.get_by_role("button", name="Revoke key").click()
    dialog.wait_for(state="hidden")
    page.get_by_text("seen in a log").wait_for()
    assert not page.get_by_role("button", name="Rotate").is_visible()
    conftest.wait_for(lambda: refused(site, secret))


def test_a_key_that_somebody_else_has_changed_is_looked_at_again_before_it_is_revoked(site, told, signed_in_page):
    key = site.ask("POST", "keys", {"name": "raced", "tenant_id": told.tenant["id"]})
    page = signed_in_page(f"/keys/{key['id']}")
    page.get_by_role("button", name="More actions").click()
    site.ask("PATCH", f"keys/{key['id']}", {"name": "raced anew"})
    page.get_by_role("menuitem", name="Revoke").click()
    dialog = dialog_of(page, "Revoke key")
    dialog.get_by_label("Reason").fill("seen in a log")
    dialog.get_by_role("button", name="Revoke key").click()
    dialog.get_by_text("Somebody else has changed it").wait_for()
    assert site.ask("GET", f"keys/{key['id']}")["state"] == "active"
    page.locator("h1", has_text="raced anew").wait_for()
    assert dialog.get_by_label("Reason").input_value() == "seen in a log"
    dialog.get_by_role("button", name="Revoke key").click()
    dialog.wait_for(state="hidden")
    assert site.ask("GET", f"keys/{key['id']}")["state"] == "revoked"


def test_a_key_is_changed_several_times_without_being_looked_at_again(site, told, signed_in_page):
    key = site.ask("POST", "keys", {"name": "busy", "tenant_id": told.tenant["id"]})
    page = signed_in_page(f"/keys/{key['id']}")
    heading(page, "busy")
    held = Held(page, f"**/api/v1/keys/{key['id']}")
    for name in ("busier", "busiest"):
        name_anew(page, "key", name)
    page.get_by_role("button", name="Rotate").click()
    dialog = dialog_of(page, "Rotate secret")
    dialog.get_by_role("button", name="Rotate secret").click()
    dialog.get_by_label("Secret", exact=True).wait_for()
    dialog.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Revoke").click()
    dialog = dialog_of(page, "Revoke key")
    dialog.get_by_label("Reason").fill("no longer needed")
    dialog.get_by_role("button", name="Revoke key").click()
    dialog.wait_for(state="hidden")
    page.get_by_text("no longer needed").wait_for()
    held.end()


def test_a_key_is_changed_behind_a_proxy_that_compresses(site, told, signed_in_page):
    key = site.ask("POST", "keys", {"name": "compressed", "tenant_id": told.tenant["id"]})
    page = signed_in_page("/account")
    heading(page, "Your account")

    def compressed(route):
        answer = route.fetch()
        tags = {name: f"W/{tag}" for name, tag in answer.headers.items() if name == "etag"}
        route.fulfill(response=answer, headers=answer.headers | tags)

    page.route(f"**/api/v1/keys/{key['id']}", compressed)
    page.goto(f"/keys/{key['id']}")
    heading(page, "compressed")
    for name in ("compressed well", "compressed better"):
        name_anew(page, "key", name)
    assert site.ask("GET", f"keys/{key['id']}")["name"] == "compressed better"


def refused(site, secret):
    try:
        site.client(secret).audio.speech.create(model="voice", voice="alloy", input="Hello.")
    except conftest.openai.APIStatusError as error:
        return error.status_code == 401
    return False


def test_a_keys_page_tells_what_it_may_do_and_what_it_did(site, told, signed_in_page):
    page = signed_in_page(f"/keys/{told.key['id']}")
    table = page.get_by_role("table", name="Recent calls")
    table.get_by_role("row").filter(has_text="speech").first.wait_for()
    page.get_by_text("Usage over time").wait_for()
    page.get_by_role("main").get_by_text("Requests a minute").wait_for()
    page.goto(f"/keys/{told.budgeted['id']}")
    page.get_by_role("meter", name=re.compile("Spent of the budget")).wait_for()
    page.get_by_text("Begins anew").wait_for()
    page.get_by_text("Not used yet").wait_for()
    page.goto("/keys/00000000-0000-0000-0000-000000000000")
    page.get_by_role("alert").filter(has_text=re.compile("found|none", re.I)).first.wait_for()


def test_many_keys_come_from_a_file_and_their_secrets_in_one(site, told, signed_in_page):
    page = signed_in_page("/keys", told.admin)
    page.get_by_role("button", name="Create from CSV").click()
    dialog = dialog_of(page, "Create keys from a CSV file")
    choose(dialog, "name,rpm\nfirst,x\n,5\n")
    table = dialog.get_by_role("table", name="Rows that cannot be used")
    table.get_by_role("row").filter(has_text="rpm").first.wait_for()
    check_axe(page)
    assert dialog.get_by_role("button", name="Create keys").is_disabled()
    choose(dialog, "name,rpm\nfirst of many,5\n\"second, of many\",\n")
    dialog.get_by_text("2 keys can be made").wait_for()
    assert not site.ask("GET", "keys?q=of%20many")["data"], "nothing is made before one has said so"
    dialog.get_by_role("button", name="Create keys").click()
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Download secrets").click()
    with open(download.value.path(), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [line["name"] for line in rows] == ["first of many", "second, of many"]
    dialog.get_by_role("button", name="Done").click()
    row(page, "second, of many").wait_for()
    places = evaluate(page, HIDING_PLACES)
    assert not any(line["secret"] in places for line in rows)
    assert site.speak(rows[0]["secret"])


def test_the_keys_that_are_made_are_those_of_the_last_file(site, told, signed_in_page):
    page = signed_in_page("/keys", told.admin)
    page.get_by_role("button", name="Create from CSV").click()
    dialog = dialog_of(page, "Create keys from a CSV file")
    held = Held(page, "**/api/v1/keys/bulk*", "POST")
    for place, text in enumerate(["name\nof the first file\n", "name\nof the second file\nof the second file too\n"]):
        choose(dialog, text)
        held.wait(place + 1)
    held.release()
    assert dialog.get_by_role("button", name="Create keys").is_disabled()
    assert not dialog.get_by_text("1 key can be made").count()
    held.end()
    dialog.get_by_text("2 keys can be made").wait_for()
    dialog.get_by_role("button", name="Create keys").click()
    dialog.get_by_text("2 keys are made").wait_for()
    found = site.ask("GET", "keys?q=of%20the&limit=10")["data"]
    assert sorted(key["name"] for key in found) == ["of the second file", "of the second file too"]


def choose(dialog, text):
    file = {"name": "keys.csv", "mimeType": "text/csv", "buffer": text.encode()}
    dialog.locator("input[type=file]").set_input_files(file)


def test_somebody_is_invited_by_a_link_that_works(site, told, signed_in_page, new_page):
    page = signed_in_page("/users?new=1", told.admin)
    dialog = dialog_of(page, "Invite user")
    assert "Platform administrator" not in dialog.get_by_label("Role").inner_text(), "nobody gives more than they have"
    dialog.get_by_label("E-mail address").fill("no address")
    dialog.get_by_role("button", name="Invite user").click()
    dialog.locator(".field.invalid", has_text="E-mail address").wait_for()
    dialog.get_by_label("E-mail address").fill("new@acme.example")
    dialog.get_by_role("button", name="Invite user").click()
    link = dialog.get_by_label("One-time link", exact=True).input_value()
    check_axe(page)
    dialog.get_by_role("button", name="Done").click()
    dialog.wait_for(state="hidden")
    assert link.split("token=")[1] not in evaluate(page, HIDING_PLACES)
    row(page, "new@acme.example").get_by_text("Invited").wait_for()
    other = new_page(link.replace(link.split("/accept")[0], ""))
    other.get_by_label("Password", exact=True).fill("a long enough password")
    other.get_by_label("The same again").fill("a long enough password")
    other.get_by_role("button", name="Set password").click()
    other.get_by_text("Your password is set").wait_for()


def test_a_user_gets_another_role_and_is_kept_out(site, told, signed_in_page):
    person = site.person("tenant_viewer", "acme", "moved@acme.example")
    page = signed_in_page("/users?q=moved")
    row(page, person.email).get_by_role("button").first.click()
    panel = dialog_of(page, "User")
    panel.get_by_label("Role", exact=True).select_option(label="Tenant administrator")
    panel.get_by_label("Disabled").check()
    check_axe(page)
    panel.get_by_role("button", name="Save changes").click()
    panel.wait_for(state="hidden")
    row(page, person.email).get_by_text("Disabled").wait_for()
    now = site.ask("GET", f"users/{person.id}")
    assert now["role"] == "tenant_admin" and now["disabled_at"]
    row(page, person.email).get_by_role("button").first.click()
    panel.get_by_role("button", name="Make a reset link").click()
    assert "/accept#token=" in panel.get_by_label("One-time link", exact=True).input_value()
    panel.get_by_role("button", name="Done").click()
    row(page, person.email).get_by_role("button").first.click()
    panel.get_by_role("button", name="Remove user").click()
    dialog_of(page, "Remove this user?").get_by_role("button", name="Remove user").click()
    page.get_by_text("No user fits").wait_for()
    # Nobody changes their own role or removes themselves.
    page.goto(f"/users?q={site.admin.email}")
    row(page, site.admin.email).get_by_role("button").first.click()
    panel.get_by_label("Name").wait_for()
    assert panel.get_by_label("Role", exact=True).count() == 0 and panel.get_by_role("button", name="Remove user").count() == 0


def test_a_tenant_is_made_suspended_resumed_and_removed(site, told, signed_in_page):
    page = signed_in_page("/tenants?new=1")
    dialog = dialog_of(page, "Create tenant")
    dialog.get_by_label("Name", exact=True).fill("acme")
    dialog.get_by_role("button", name="Create tenant").click()
    dialog.get_by_role("alert").filter(has_text=re.compile("taken|name", re.I)).first.wait_for()
    dialog.get_by_label("Name", exact=True).fill("passing")
    dialog.get_by_label(re.compile("While gateways")).select_option(value="closed")
    dialog.get_by_role("button", name="Create tenant").click()
    heading(page, "passing")
    tenant = site.tenant("passing")
    assert tenant["when_away"] == "closed"
    page.get_by_role("button", name="Suspend").click()
    dialog = dialog_of(page, "Suspend tenant")
    dialog.get_by_text("its people cannot sign in").wait_for()
    dialog.get_by_label("Reason").fill("unpaid invoices")
    dialog.get_by_role("button", name="Suspend tenant").click()
    dialog.wait_for(state="hidden")
    page.get_by_text("unpaid invoices").wait_for()
    assert site.tenant("passing")["suspended_at"]
    page.get_by_role("button", name="Resume").click()
    dialog_of(page, "Resume this tenant?").get_by_role("button", name="Resume tenant").click()
    page.get_by_role("button", name="Suspend").wait_for()
    page.get_by_role("button", name="Edit").click()
    dialog = dialog_of(page, "Edit tenant")
    dialog.get_by_label("Refuse what has no price").check()
    dialog.get_by_role("button", name="Save changes").click()
    dialog.wait_for(state="hidden")
    assert site.tenant("passing")["refuse_unpriced"] is True
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Remove").click()
    dialog_of(page, "Remove this tenant?").get_by_role("button", name="Remove tenant").click()
    page.wait_for_url(re.compile("/tenants$"))
    row(page, "acme").wait_for()
    assert page.get_by_role("link", name="passing", exact=True).count() == 0


def test_a_tenant_is_changed_several_times_without_being_looked_at_again(site, told, signed_in_page):
    tenant = site.tenant("often")
    page = signed_in_page(f"/tenants/{tenant['id']}")
    heading(page, "often")
    held = Held(page, f"**/api/v1/tenants/{tenant['id']}")
    for name in ("oftener", "oftenest"):
        name_anew(page, "tenant", name)
    page.get_by_role("button", name="Suspend").click()
    dialog = dialog_of(page, "Suspend tenant")
    dialog.get_by_label("Reason").fill("too often")
    dialog.get_by_role("button", name="Suspend tenant").click()
    page.get_by_role("button", name="Resume").click()
    dialog_of(page, "Resume this tenant?").get_by_role("button", name="Resume tenant").click()
    page.get_by_role("button", name="Suspend").wait_for()
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Remove").click()
    dialog_of(page, "Remove this tenant?").get_by_role("button", name="Remove tenant").click()
    page.wait_for_url(re.compile("/tenants$"))
    held.end()


def test_the_settings_tell_what_is_there_and_how_it_is(site, told, signed_in_page):
    conftest.wait_for(lambda: site.ask("GET", "health")["targets"] or None)
    page = signed_in_page("/settings")
    assert page.get_by_label("Gateway", exact=True).input_value() == site.url
    assert page.get_by_label("Dashboard and admin API", exact=True).input_value() == site.admin_url
    page.get_by_text(re.compile("SQLite, answers in")).wait_for()
    page.get_by_role("table", name="Gateways").get_by_text("Serves").wait_for()
    row(page, "tts-1").get_by_text("Is asked").wait_for()
    for name in ("Read and try it", "openapi.json"):
        path = page.get_by_role("link", name=re.compile(name)).get_attribute("href")
        assert page.request.get(path).ok
    page = signed_in_page("/settings", told.viewer)
    page.get_by_role("table", name="Targets").wait_for()
    assert page.get_by_role("table", name="Gateways").count() == 0, "machines are the operator's business"


def test_the_audit_log_tells_what_became_what(site, told, signed_in_page):
    key = site.ask("POST", "keys", {"name": "watched", "tenant_id": told.tenant["id"]})
    site.ask("PATCH", f"keys/{key['id']}", {"name": "watched well", "requests_per_minute": 30})
    page = signed_in_page("/audit", told.admin)
    page.get_by_role("button", name="Verify the log").click()
    page.get_by_text("The log is whole").wait_for()
    page.get_by_label("Action", exact=True).select_option(label="Changed")
    page.get_by_label("Resource", exact=True).select_option(label="Key")
    page.wait_for_url(re.compile("kind=key"))
    entry = row(page, "watched well")
    entry.wait_for()
    page.get_by_role("cell", name="Created", exact=True).first.wait_for(state="hidden")
    entry.get_by_role("button").first.click()
    panel = dialog_of(page, "Entry")
    changed = panel.get_by_role("table", name="What changed")
    line = changed.get_by_role("row").filter(has_text="name").first
    assert line.locator("del").inner_text() == "watched" and line.locator("ins").inner_text() == "watched well"
    assert changed.get_by_role("row").filter(has_text="requests_per_minute").locator("ins").inner_text() == "30"
    check_axe(page)
    page.keyboard.press("Escape")
    page.get_by_role("searchbox", name=re.compile("Actor")).fill(site.admin.email)
    page.wait_for_url(re.compile("actor="))
    entry.wait_for()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="JSON").click()
    with open(download.value.path(), encoding="utf-8") as file:
        entries = json.load(file)
    assert entries and {(line["action"], line["object_kind"]) for line in entries} == {("update", "key")}


def test_a_viewer_changes_nothing(site, told, signed_in_page):
    page = signed_in_page("/keys", told.viewer)
    page.get_by_role("link", name="app", exact=True).wait_for()
    for name in ("Create key", "Create from CSV"):
        assert page.get_by_role("button", name=name).count() == 0
    navigation = page.get_by_role("navigation", name="Main")
    for name in ("Users", "Tenants", "Audit log"):
        assert navigation.get_by_role("link", name=name).count() == 0
    page.goto("/keys?new=1")
    page.get_by_role("link", name="app", exact=True).wait_for()
    assert not page.get_by_role("dialog").locator("visible=true").count()
    page.goto(f"/keys/{told.key['id']}")
    page.get_by_role("table", name="Recent calls").wait_for()
    for name in ("Edit", "Rotate", "More actions"):
        assert page.get_by_role("button", name=name).count() == 0
    for path, text in {"/users": "Administrators see the users", "/audit": "Administrators see the audit log"}.items():
        page.goto(path)
        page.get_by_text(text).wait_for()
    page.goto(f"/tenants/{told.tenant['id']}")
    heading(page, "acme")
    assert page.get_by_role("main").get_by_role("button", name=re.compile("Edit|Suspend|More")).count() == 0


def test_another_tenants_administrator_sees_nothing_of_the_first(site, told, signed_in_page):
    page = signed_in_page("/keys", told.stranger)
    page.get_by_text("No keys yet").wait_for()
    for path in (f"/keys/{told.key['id']}", f"/tenants/{told.tenant['id']}"):
        page.goto(path)
        page.get_by_role("alert").filter(has_text=re.compile("[a-z]")).first.wait_for()
        assert told.key["name"] not in page.get_by_role("main").inner_text()
    page.goto("/users")
    row(page, told.stranger.email).wait_for()
    assert page.get_by_text("@acme.example").count() == 0
    page.goto("/tenants")
    page.get_by_role("link", name="other", exact=True).wait_for()
    assert page.get_by_role("link", name="acme").count() == 0
    page.goto("/audit")
    page.get_by_role("table", name="Audit log").get_by_role("row").nth(1).wait_for()
    text = page.get_by_role("main").inner_text()
    assert "acme" not in text and "budgeted" not in text
    page.goto("/settings")
    page.get_by_role("table", name="Targets").wait_for()


@pytest.mark.parametrize("width", [1440, NARROW])
def test_every_page_can_be_used_by_everybody(site, told, signed_in_page, width):
    page = signed_in_page("/keys", width=width)
    heading(page)
    paths = ["/keys", f"/keys/{told.key['id']}", "/users", "/tenants", f"/tenants/{told.tenant['id']}", "/settings", "/audit"]
    for path in paths:
        page.goto(path)
        whole(page)
        for theme in ("light", "dark"):
            wear(page, theme)
            check_axe(page)
        check_width(page)
    # Forms are the widest and the longest.
    page.goto("/keys?new=1")
    dialog_of(page, "Create key").get_by_label("Name", exact=True).wait_for()
    check_axe(page)
    check_width(page)
