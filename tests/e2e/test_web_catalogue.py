"""Providers, models, voices and prices in the dashboard."""

import csv
import io
import json
import re
import signal

import pytest

from browser import CONFIG, NARROW, Held, Site, check_axe, check_width, evaluate, whole
from conftest import wait_for

# What the configuration declares is changed there alone.
DECLARED = """
providers:
  - {{ name: declared, kind: openai, api_key: sk-upstream, base_url: "{url}/v1", allow_insecure: true }}
models:
  - {{ name: house, targets: [{{ provider: declared, model: tts-1 }}] }}
voices:
  - {{ name: housevoice, map: {{ openai: marin }} }}
"""


@pytest.fixture(scope="module")
def site(all_upstreams, tmp_path_factory):
    """As everywhere, with some of it in its configuration file."""
    declared = DECLARED.format(url=all_upstreams["openai"].url)
    site = Site(tmp_path_factory.mktemp("site"), all_upstreams, CONFIG + declared)
    yield site
    assert site.stop(signal.SIGTERM) == 0, site.log.read_text()
    assert "panicked" not in site.log.read_text(), site.log.read_text()


@pytest.fixture(scope="module")
def furnished(site):
    """What most tests look at, and somebody who only looks."""
    told = site.furnish()
    told.backup = site.provider("groq", "backup")
    told.viewer = site.person("tenant_viewer", tenant="acme")
    return told


def heading(page, name):
    page.get_by_role("heading", level=1, name=name).wait_for()


def row(page, text):
    return page.get_by_role("row").filter(has_text=text)


def test_a_provider_is_added_tried_out_and_heard(site, furnished, signed_in_page):
    page = signed_in_page("/providers")
    page.get_by_role("button", name="Add provider").first.click()
    dialog = page.get_by_role("dialog", name="Add provider")
    dialog.get_by_label("Kind").select_option("openai")
    dialog.get_by_label("Name").fill("fresh")
    dialog.get_by_label("Credential").fill("sk-upstream")
    # What is typed stays when the server says no.
    dialog.get_by_label("Address").fill(site.upstreams["openai"].url + "/v1")
    dialog.get_by_role("button", name="Add provider").click()
    dialog.locator(".field-error", has_text=re.compile(".")).first.wait_for()
    assert dialog.get_by_label("Name").input_value() == "fresh"
    dialog.get_by_label("May be on a private network").check()
    dialog.get_by_role("button", name="Add provider").click()
    heading(page, "fresh")
    row(page, "main").wait_for()
    assert "sk-upstream" not in page.content()
    for operation in ("Speech", "Transcription"):
        page.get_by_role("checkbox", name=operation, exact=True).check()
    page.get_by_role("button", name="Test", exact=True).click()
    results = page.get_by_role("list", name="What came of it")
    results.get_by_role("heading", name="Speech").wait_for()
    assert results.get_by_text("Works").count() == 2, results.inner_text()
    results.locator("audio").wait_for()
    # It is sound that the browser can read.
    seconds = "new Promise(done => { const sound = document.querySelector('.trials audio');" \
        " sound.readyState > 0 ? done(sound.duration) : sound.onloadedmetadata = () => done(sound.duration);" \
        " sound.onerror = () => done(-1) })"
    assert evaluate(page, seconds) > 0
    transcribed = results.get_by_role("listitem").filter(has_text="Transcription")
    assert transcribed.locator("pre").inner_text().strip()
    assert re.search(r"whole \d+ ms", transcribed.inner_text())
    check_axe(page)
    # A failure says what the provider said.
    site.upstreams["openai"].script("/audio/speech", status=401)
    page.get_by_role("checkbox", name="Transcription", exact=True).uncheck()
    page.get_by_role("button", name="Test", exact=True).click()
    results.get_by_text("Failed").wait_for()
    site.upstreams["openai"].reset()


def test_credentials_are_added_weighed_and_removed_and_a_provider_too(site, furnished, signed_in_page):
    spare = site.provider("openai", "spare")
    page = signed_in_page(f"/providers/{spare['id']}")
    heading(page, "spare")
    page.get_by_role("button", name="Add credential").click()
    dialog = page.get_by_role("dialog", name="Credential")
    dialog.get_by_label("Label").fill("second")
    dialog.get_by_label("Credential").fill("sk-another-upstream-key")
    dialog.get_by_label("Weight").fill("3")
    # No number is guessed: half a call at once is not without a limit.
    dialog.get_by_label("Calls at once").fill("2.5")
    dialog.get_by_role("button", name="Add credential").click()
    dialog.get_by_text("This number cannot be used here").first.wait_for()
    assert len(site.ask("GET", f"providers/{spare['id']}/credentials")["data"]) == 1
    dialog.get_by_label("Calls at once").fill("7")
    dialog.get_by_role("button", name="Add credential").click()
    cells = row(page, "second")
    cells.wait_for()
    assert "3" in cells.inner_text() and "7" in cells.inner_text()
    page.get_by_role("button", name="Actions for second").click()
    page.get_by_role("menuitem", name="Remove").click()
    page.get_by_role("dialog", name="Remove this credential?").get_by_role("button", name="Remove credential").click()
    cells.wait_for(state="detached")
    # A model has a target there, which is said before it is done all the same.
    site.ask("POST", "models", {"name": "on-spare", "targets": [{"provider": "spare", "model": "tts-1"}]})
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog", name="Delete this provider?").get_by_role("button", name="Delete provider").click()
    again = page.get_by_role("dialog", name="Models have targets there")
    again.get_by_text("on-spare").wait_for()
    again.get_by_role("button", name="Delete it all the same").click()
    heading(page, "Providers")
    assert "spare" not in [one["name"] for one in site.ask("GET", "providers")["data"]]


def test_a_model_is_made_ordered_by_the_keyboard_and_simulated(site, furnished, signed_in_page):
    page = signed_in_page("/models")
    page.get_by_role("link", name="New model").first.click()
    heading(page, "New model")
    page.get_by_label("Name").fill("both")
    page.get_by_role("button", name="Add target").click()
    for place, (provider, model) in enumerate([("openai", "tts-1"), ("backup", "whisper-large-v3")]):
        page.get_by_label("Provider").nth(place).fill(provider)
        page.get_by_label("Model", exact=True).nth(place).fill(model)
    check_axe(page)
    targets = page.get_by_role("list", name="Targets")
    last_up = targets.get_by_role("listitem").nth(1).locator(".sortable-buttons button").first
    last_up.focus()
    page.keyboard.press("Enter")
    assert page.get_by_label("Provider").first.input_value() == "backup"
    page.get_by_role("button", name="Create model").click()
    heading(page, "both")
    made = [model for model in site.ask("GET", "models?q=both")["data"]][0]
    assert [target["provider"] for target in made["targets"]] == ["backup", "openai"]
    page.get_by_label("Operation").select_option("speech")
    page.get_by_label("Language").fill("en")
    page.get_by_label("Characters").fill("200")
    page.get_by_role("button", name="Simulate").click()
    candidates = page.get_by_role("list", name="Candidates").get_by_role("listitem")
    candidates.first.wait_for()
    told = candidates.all_inner_texts()
    assert len(told) == 2
    assert "openai/tts-1" in told[0] and "1. tried" in told[0]
    assert "backup/whisper-large-v3" in told[1] and "Dropped" in told[1]
    # As for a caller who asks for another order.
    page.get_by_label("Strategy").select_option("quality")
    page.get_by_role("button", name="Simulate").click()
    page.get_by_text("Ordered by Quality.").wait_for()
    check_axe(page)


def test_a_model_that_somebody_else_has_changed_is_not_overwritten(site, furnished, signed_in_page):
    voice = furnished.models["voice"]
    page = signed_in_page(f"/models/{voice['id']}?edit=1")
    page.get_by_role("button", name="Save").wait_for()
    site.ask("PATCH", f"models/{voice['id']}", {"strategy": "cost"})
    page.get_by_label("Model", exact=True).fill("tts-1-hd")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Load it again").click()
    page.get_by_role("list", name="Strategies").get_by_text("Cost", exact=True).wait_for()
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Edit").wait_for()
    assert site.ask("GET", f"models/{voice['id']}")["targets"][0]["model"] == "tts-1"


def test_a_model_is_shown_and_edited_as_it_was_kept(site, furnished, signed_in_page):
    target = {"provider": "openai", "model": "tts-1"}
    model = site.ask("POST", "models", {"name": "kept", "targets": [target]})
    page = signed_in_page(f"/models/{model['id']}?edit=1")
    page.get_by_label("Model", exact=True).fill("tts-1-hd")
    held = Held(page, f"**/api/v1/models/{model['id']}")
    page.get_by_role("button", name="Save").click()
    # At once, and before anything is asked for again.
    page.get_by_role("button", name="Edit").click()
    assert page.get_by_label("Model", exact=True).input_value() == "tts-1-hd"
    page.get_by_label("Name").fill("kept-twice")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("button", name="Edit").wait_for()
    now = site.ask("GET", f"models/{model['id']}")
    assert (now["name"], now["targets"][0]["model"]) == ("kept-twice", "tts-1-hd")
    # Somebody else changes it, which is found out by a look that takes long.
    site.ask("PATCH", f"models/{model['id']}", {"name": "kept-by-another"})
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_role("dialog", name="Delete this model?").get_by_role("button", name="Delete model").click()
    held.wait()
    page.get_by_role("button", name="Edit").click()
    page.get_by_label("Name").fill("typed meanwhile")
    held.end()
    heading(page, "kept-by-another")
    assert page.get_by_label("Name").input_value() == "typed meanwhile"


def test_a_providers_page_stays_as_it_is_while_it_is_looked_at_again(site, furnished, signed_in_page):
    provider = site.provider("openai", "steady")
    page = signed_in_page(f"/providers/{provider['id']}")
    heading(page, "steady")
    held = Held(page, f"**/api/v1/providers/{provider['id']}")
    page.get_by_role("button", name="Disable", exact=True).click()
    page.get_by_role("dialog", name="Disable this provider?").get_by_role("button", name="Disable").click()
    page.get_by_role("button", name="Enable", exact=True).click()
    page.get_by_role("button", name="Disable", exact=True).wait_for()
    page.get_by_role("button", name="Edit", exact=True).click()
    dialog = page.get_by_role("dialog", name="Edit provider")
    dialog.get_by_label("Region").fill("eu-north-1")
    dialog.get_by_role("button", name="Save").click()
    dialog.wait_for(state="hidden")
    page.get_by_text("eu-north-1").wait_for()
    # Somebody else changes it, which is found out by a look that takes long.
    site.ask("PATCH", f"providers/{provider['id']}", {"region": "eu-west-1"})
    page.get_by_role("button", name="Disable", exact=True).click()
    page.get_by_role("dialog", name="Disable this provider?").get_by_role("button", name="Disable").click()
    held.wait()
    page.get_by_role("button", name="Add credential").click()
    dialog = page.get_by_role("dialog", name="Credential")
    dialog.get_by_label("Label").fill("typed meanwhile")
    held.end()
    page.get_by_text("eu-west-1").wait_for()
    assert dialog.get_by_label("Label").input_value() == "typed meanwhile"


@pytest.mark.parametrize("path, label", [
    ("/models/new", "Whose it is"), ("/providers?new=1", "Whose it is"), ("/prices", "Whose"),
])
def test_what_is_made_is_the_chosen_tenants_however_late_its_name_comes(site, furnished, signed_in_page, path, label):
    page = signed_in_page("/account")
    page.locator(".tenant-switcher select").select_option(label="acme")
    whole(page)
    # For the list at the top of the page, and for the form.
    held = Held(page, re.compile(r"/api/v1/tenants\?"))
    page.goto(path)
    held.wait(2)
    if path == "/prices":
        page.get_by_role("button", name="Add price").click()
    owner = page.get_by_label(label, exact=True).last
    assert owner.input_value() == furnished.tenant["id"]
    held.end()
    owner.locator("option", has_text="acme").wait_for(state="attached")
    assert owner.input_value() == furnished.tenant["id"]
    assert owner.locator("option:checked").inner_text() == "acme"


def test_what_is_no_number_is_told_at_its_field_and_not_sent(site, furnished, signed_in_page):
    page = signed_in_page(f"/models/{furnished.models['voice']['id']}")
    for operation, label in (("speech", "Characters"), ("transcription", "Seconds of audio")):
        page.get_by_label("Operation").select_option(operation)
        field = page.get_by_label(label)
        field.press_sequentially("1e")
        page.get_by_role("button", name="Simulate").click()
        page.locator(".field.invalid", has_text=label).get_by_text("This number cannot be used here").wait_for()
        assert not any("simulate" in request for request in page.watch.requests)
        field.fill("")
    page.get_by_role("button", name="Simulate").click()
    page.get_by_role("list", name="Candidates").wait_for()


def list_of(model):
    """A list with one price of this model, as a file that is chosen."""
    price = {
        "provider": "openai", "model": model, "operation": "speech", "unit": "million_characters", "price_usd": "1",
        "minimum_ms": 0, "rounding_ms": 0, "effective_from": "2026-01-01T00:00:00Z", "source": "a test",
        "read_on": "2026-01-01",
    }
    return {"name": f"{model}.json", "mimeType": "application/json", "buffer": json.dumps([price]).encode()}


def test_the_list_that_is_written_is_the_one_that_is_seen(site, furnished, signed_in_page):
    page = signed_in_page("/prices?tab=import")
    drop, held = page.locator("input[type=file]"), Held(page, "**/api/v1/prices/import*", "POST")
    for place, name in enumerate(["first-list", "second-list"]):
        drop.set_input_files(list_of(name))
        held.wait(place + 1)
    write = page.get_by_role("button", name="Write 1 price")
    held.release()
    assert write.count() == 0 and not page.get_by_text("first-list").count(), "another list is looked at by now"
    held.end()
    page.get_by_role("table", name="Rows of the list").get_by_text("second-list").wait_for()
    write.click()
    page.get_by_text("The list is in").wait_for()
    written = [len(site.ask("GET", f"prices?model={name}")["data"]) for name in ("first-list", "second-list")]
    assert written == [0, 1]


def test_a_list_that_is_being_written_keeps_its_mode_and_is_told_of(site, furnished, signed_in_page):
    page = signed_in_page("/prices?tab=import")
    page.locator("input[type=file]").set_input_files(list_of("slowly-written"))
    write = page.get_by_role("button", name="Write 1 price")
    write.wait_for()
    calls = []
    page.route("**/api/v1/prices/import*", lambda route: calls.append(route))
    write.click()
    wait_for(lambda: evaluate(page, "0") == 0 and len(calls) == 1)
    other = page.get_by_label("Are left out")
    page.get_by_text("Are left out").click(force=True)
    assert other.is_disabled() and not other.is_checked()
    calls[0].continue_()
    page.get_by_text("The list is in").wait_for()
    assert other.is_enabled()


def test_a_voice_is_added_changed_and_deleted(site, furnished, signed_in_page):
    page = signed_in_page("/voices")
    page.get_by_role("button", name="Add voice").first.click()
    dialog = page.get_by_role("dialog", name="Voice")
    dialog.get_by_label("Name").fill("host")
    dialog.get_by_label("Provider or kind").fill("openai")
    dialog.get_by_label("Its voice").fill("marin")
    dialog.get_by_role("button", name="Add provider").click()
    dialog.get_by_label("Provider or kind").nth(1).fill("nowhere")
    dialog.get_by_label("Its voice").nth(1).fill("x")
    dialog.get_by_role("button", name="Add voice").click()
    dialog.get_by_text("There is no such provider").first.wait_for()
    dialog.get_by_label("Provider or kind").nth(1).fill("elevenlabs")
    dialog.get_by_role("button", name="Add voice").click()
    row(page, "host").wait_for()
    assert site.ask("GET", "voices/host")["map"] == {"openai": "marin", "elevenlabs": "x"}
    page.get_by_role("button", name="Actions for host").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog", name="Delete this voice?").get_by_role("button", name="Delete voice").click()
    row(page, "host").wait_for(state="detached")


def test_a_voice_that_somebody_else_has_changed_is_neither_deleted_nor_made_over(site, furnished, signed_in_page):
    site.ask("PUT", "voices/raced", {"map": {"openai": "alloy"}})
    page = signed_in_page("/voices")
    row(page, "raced").get_by_text("openai: alloy").wait_for()
    site.ask("PUT", "voices/raced", {"map": {"openai": "marin"}})
    page.get_by_role("button", name="Actions for raced").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog", name="Delete this voice?").get_by_role("button", name="Delete voice").click()
    page.get_by_text("Somebody else has changed it").wait_for()
    row(page, "raced").get_by_text("openai: marin").wait_for()
    page.get_by_role("button", name="Add voice").first.click()
    dialog = page.get_by_role("dialog", name="Voice")
    dialog.get_by_label("Name").fill("raced")
    dialog.get_by_label("Provider or kind").fill("openai")
    dialog.get_by_label("Its voice").fill("cedar")
    dialog.get_by_role("button", name="Add voice").click()
    dialog.get_by_text("There is a voice of this name already.").wait_for()
    assert site.ask("GET", "voices/raced")["map"] == {"openai": "marin"}


def test_prices_go_out_and_come_in_again(site, furnished, signed_in_page, tmp_path):
    page = signed_in_page("/prices?q=tts-1&kind=openai")
    row(page, "tts-1").first.wait_for()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="As CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text())))
    assert rows and all("tts-1" in row["model"] or "tts-1" in row["source"] for row in rows)
    # One that is there, one that is new, one that cannot be.
    new = rows[0] | {"model": "brand-new", "price_usd": "12.5"}
    bad = rows[0] | {"model": "bad-one", "price_usd": "much"}
    file = tmp_path / "prices.csv"
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows([rows[0], new, bad])
    page.get_by_role("tab", name="Import").click()
    page.locator("input[type=file]").set_input_files(file)
    preview = page.get_by_role("table", name="Rows of the list")
    preview.get_by_text("bad-one").wait_for()
    assert ["There already" in preview.inner_text(), "Refused" in preview.inner_text()] == [True, True]
    page.get_by_text("Nothing can be written").wait_for()
    check_axe(page)
    page.get_by_text("Are left out").click()
    page.get_by_role("button", name="Write 1 price").click()
    page.get_by_text("The list is in").wait_for()
    told = site.ask("GET", "prices?model=brand-new")["data"]
    assert [price["price_usd"] for price in told] == ["12.5"]
    page.get_by_role("tab", name="Prices", exact=True).click()
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="As JSON").click()
    assert len(json.loads(download.value.path().read_text())) == len(rows)


def test_use_without_a_price_gets_one_afterwards(site, furnished, signed_in_page):
    site.ask("POST", "models", {"name": "nameless", "targets": [{"provider": "openai", "model": "tts-of-no-price"}]})
    site.speak(furnished.secret, model="nameless")
    wait_for(lambda: "nameless" in [record["model_asked"] for record in site.records()])
    page = signed_in_page("/prices?tab=unpriced")
    unpriced = row(page, "tts-of-no-price")
    unpriced.wait_for()
    unpriced.get_by_role("button", name="Add price").click()
    dialog = page.get_by_role("dialog", name="Price", exact=True)
    assert dialog.get_by_label("Model").input_value() == "tts-of-no-price"
    dialog.get_by_label("Price in US dollars").fill("15")
    dialog.get_by_label("Source").fill("the contract")
    check_axe(page)
    dialog.get_by_role("button", name="Add price").click()
    dialog.wait_for(state="hidden")
    page.get_by_role("button", name="Price it again").click()
    again = page.get_by_role("dialog", name="Price it again")
    again.get_by_text("Would get one").wait_for()
    again.get_by_role("button", name="Write these costs").click()
    unpriced.wait_for(state="detached")
    # The new price is ended by another, from a later moment on.
    page.goto("/prices?q=tts-of-no-price")
    page.get_by_role("button", name=re.compile("Actions for tts-of-no-price")).click()
    page.get_by_role("menuitem", name="End with a new price").click()
    dialog.get_by_label("Price in US dollars").fill("18")
    dialog.get_by_role("button", name="Set the new price").click()
    row(page, "$18.00").wait_for()
    assert row(page, "$15.00").count() == 1


@pytest.mark.parametrize("path", ["/providers", "/models", "/voices", "/prices"])
def test_a_viewer_sees_no_actions(site, furnished, signed_in_page, path):
    page = signed_in_page(path, furnished.viewer)
    whole(page)
    dead = re.compile("^(Add|New|Edit|Delete|Disable|Import|Actions for|Price it again)")
    main = page.get_by_role("main")
    for role in ("button", "link", "tab"):
        assert main.get_by_role(role, name=dead).all_inner_texts() == []


def test_what_is_declared_elsewhere_offers_no_edit(site, furnished, signed_in_page):
    dead = re.compile("^(Edit|Delete|Disable|Add credential|Actions for)")
    found = {kind: {one["name"]: one for one in site.ask("GET", kind)["data"]} for kind in ("providers", "models")}
    for path in (f"/providers/{found['providers']['declared']['id']}", f"/models/{found['models']['house']['id']}?edit=1"):
        page = signed_in_page(path)
        page.get_by_text("Declared in the configuration").wait_for()
        whole(page)
        assert page.get_by_role("main").get_by_role("button", name=dead).count() == 0
    page = signed_in_page("/voices")
    row(page, "housevoice").get_by_text("Configuration file").wait_for()
    assert row(page, "housevoice").get_by_role("button").count() == 0


@pytest.mark.parametrize("path", ["/providers", "/providers/{provider}", "/models", "/models/new", "/models/{model}",
                                  "/models/{model}?edit=1", "/voices", "/prices", "/prices?tab=unpriced", "/prices?tab=import"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_for_everybody(site, furnished, signed_in_page, path, theme):
    ids = {"provider": furnished.provider["id"], "model": furnished.models["dictation"]["id"]}
    page = signed_in_page(path.format(**ids), theme=theme, width=NARROW)
    whole(page)
    check_axe(page)
    check_width(page)
