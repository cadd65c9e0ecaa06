"""The overview, usage and alerts in a browser: what the official SDK has called is seen there with its exact cost."""

import csv
import datetime
import hashlib
import hmac
import http.server
import json
import re
import threading
import types

import pytest

import conftest
from browser import NARROW, WIDE, Held, check_axe, check_width, wear, whole

TEXT = "Hello from the dashboard's tests."
# `tts-1` costs 15 dollars for a million characters.
NANO = 15_000 * len(TEXT)
CALLS = 4


@pytest.fixture(scope="module")
def used(site, all_upstreams):
    """Calls that were made: all but one served at once, one by the second of its targets, one without a price."""
    used = site.furnish()
    targets = [{"provider": "openai", "model": "tts-1", "priority": 1}, {"provider": "openai", "model": "tts-1-hd", "priority": 2}]
    site.ask("POST", "models", {"name": "sturdy", "strategy": "priority", "targets": targets})
    site.ask("POST", "models", {"name": "unknown", "targets": [{"provider": "openai", "model": "tts-of-nobody"}]})
    site.other = site.ask("POST", "keys", {"name": "spender", "tenant_id": used.tenant["id"], "budget": {"usd": "0.0005"}})
    for _ in range(CALLS - 1):
        assert site.speak(used.secret)
    assert site.speak(site.other["secret"])
    assert site.speak(used.secret, model="unknown")
    all_upstreams["openai"].script("/audio/speech", status=503)
    assert site.speak(used.secret, model="sturdy")
    all_upstreams["openai"].reset()
    used.records = site.records(CALLS + 2)
    used.sturdy = next(record for record in used.records if record["model_asked"] == "sturdy")
    used.viewer = site.person("tenant_viewer", tenant="acme")
    return used


@pytest.fixture
def receiver():
    """Takes what webhooks are sent, on a port of its own."""
    told = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            told.append((dict(self.headers.items()), body))
            self.send_response(202)
            self.end_headers()
            self.wfile.write(b"thank you")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield types.SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}/hook", told=told)
    server.shutdown()
    server.server_close()


def tile(page, label):
    """A number of the overview, by what stands over it."""
    return page.locator(".stat").filter(has=page.get_by_text(label, exact=True)).locator(".stat-value")


def dollars(nano):
    """As money under a dollar is shown: three digits that say something."""
    digits = f"{nano / 1e9:.9f}"
    zeros = len(re.match(r"0\.(0*)", digits).group(1))
    shown = f"{nano / 1e9:.{min(9, zeros + 3)}f}".rstrip("0")
    return f"${shown}"


def is_ready(page, heading):
    page.get_by_role("heading", level=1, name=heading).wait_for()
    whole(page)


# This one is the first: nothing has been called yet, and a new machine has a key to begin with.
def test_a_new_installation_is_told_what_to_do_first(site, signed_in_page):
    page = signed_in_page("/")
    steps = page.get_by_role("listitem").filter(has=page.get_by_role("heading", level=3))
    steps.nth(0).get_by_text("(Done)").wait_for()
    assert steps.count() == 3 and not page.get_by_role("link", name="Make a key").count()
    assert steps.nth(1).get_by_role("link", name="Open the playground").get_attribute("href") == "/playground"
    assert steps.nth(2).get_by_role("link", name="Add a provider").get_attribute("href") == "/providers?new=1"
    page.get_by_text("No open alerts").wait_for()
    check_axe(page)
    site.provider("groq")
    page.reload()
    steps.nth(2).get_by_text("(Done)").wait_for()
    assert steps.nth(1).get_by_role("link", name="Open the playground").is_visible()


# Rules are looked at twice a minute: this one is made early, and what it has found is looked at in the end.
def test_a_rule_is_made(site, used, signed_in_page):
    page = signed_in_page("/alerts?view=rules&new=1")
    dialog = page.get_by_role("dialog", name="Create rule")
    dialog.get_by_label("Name").fill("Missing prices")
    dialog.get_by_label("Watches").select_option("unpriced")
    dialog.get_by_label("Minutes looked back on").fill("")
    dialog.get_by_role("button", name="Create rule").click()
    dialog.get_by_text("Must be a number.").wait_for()
    dialog.get_by_label("Minutes looked back on").fill("600")
    dialog.get_by_label("Severity").select_option("critical")
    check_axe(page)
    dialog.get_by_label("Minutes looked back on").press("Enter")
    dialog.wait_for(state="hidden")
    page.get_by_role("row").filter(has_text="Missing prices").get_by_text("used without a price in 10 hours").wait_for()


def test_calls_are_on_the_overview_with_their_exact_cost(site, used, signed_in_page):
    total = sum(record["cost_nano_usd"] or 0 for record in used.records)
    assert total == CALLS * NANO + 2 * NANO, "the sturdy one was served by the dearer target"
    page = signed_in_page("/")
    spend = tile(page, "Spend")
    spend.get_by_text(dollars(total)).wait_for()
    assert tile(page, "Requests").inner_text() == str(CALLS + 2)
    assert tile(page, "First byte, p95").inner_text().endswith(("ms", "s"))
    # Chart, groups with links into usage, and what needs somebody.
    page.get_by_role("group", name=re.compile("Spend by provider")).wait_for()
    page.get_by_role("table", name="By key").get_by_role("link", name="app").wait_for()
    page.get_by_text("1 record without a price").wait_for()
    page.get_by_role("meter", name="Budget of spender").wait_for()
    page.get_by_role("table", name="By key").get_by_role("link", name="spender").click()
    is_ready(page, "Usage")
    assert f"key={site.other['id']}" in page.url
    tile(page, "Requests").get_by_text("1", exact=True).wait_for()
    tile(page, "Spend").get_by_text(dollars(NANO), exact=True).wait_for()


def test_nothing_moves_while_the_overview_fills(used, signed_in_page):
    page = signed_in_page("/account")
    page.get_by_role("heading", level=1).wait_for()
    page.context.add_init_script(
        "window.moved = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => window.moved += entry.value))"
        ".observe({type: 'layout-shift', buffered: true})"
    )
    page.goto("/")
    tile(page, "Requests").get_by_text(str(CALLS + 2)).wait_for()
    whole(page)
    assert page.evaluate("window.moved") < 0.05


def test_a_filter_survives_a_reload_and_the_way_back(used, signed_in_page):
    page = signed_in_page("/usage?view=records")
    rows = page.get_by_role("region", name="Usage records").get_by_role("row")
    rows.nth(CALLS + 2).wait_for()
    page.get_by_label("Cost", exact=True).select_option("false")
    page.get_by_text("1 row", exact=True).wait_for()
    page.reload()
    page.get_by_text("1 row", exact=True).wait_for()
    assert page.get_by_label("Cost", exact=True).input_value() == "false"
    rows.nth(1).get_by_role("link").click()
    page.get_by_text("What this call used has no price").wait_for()
    page.go_back()
    page.get_by_text("1 row", exact=True).wait_for()
    assert "priced=false" in page.url
    page.get_by_role("button", name="Clear filters").click()
    rows.nth(CALLS + 2).wait_for()


def test_sums_are_told_apart_by_what_one_chooses(used, signed_in_page):
    page = signed_in_page("/usage")
    page.get_by_label("Group by", exact=True).select_option("model")
    row = page.get_by_role("region", name="Sums").get_by_role("row").filter(has_text="tts-1-hd")
    row.get_by_text(dollars(2 * NANO)).wait_for()
    page.get_by_text("Requests", exact=True).and_(page.locator(".segment span")).click()
    page.get_by_role("group", name=re.compile("^Requests")).wait_for()
    page.wait_for_url(lambda url: "by=model" in url and "measure=requests" in url)


def test_a_record_tells_who_was_tried_and_where_the_time_went(used, signed_in_page):
    page = signed_in_page(f"/usage/records/{used.sturdy['id']}")
    page.get_by_text(f"${2 * NANO / 1e9:.6f}".rstrip("0")).wait_for()
    candidates = page.get_by_role("region", name="Candidates").get_by_role("row")
    assert "openai/tts-1" in candidates.nth(1).inner_text() and "Failed" in candidates.nth(1).inner_text()
    assert "openai/tts-1-hd" in candidates.nth(2).inner_text() and "Served" in candidates.nth(2).inner_text()
    waterfall = page.get_by_role("table", name="Where the time went")
    assert "failed attempts: openai/tts-1" in waterfall.inner_text()
    assert waterfall.get_by_role("row").count() == 4
    page.get_by_text("$30.00 per million characters").wait_for()


@pytest.mark.parametrize("kind", ["CSV", "JSON"])
def test_an_export_has_exactly_the_records_of_the_filter(used, signed_in_page, kind):
    page = signed_in_page("/usage?priced=true")
    is_ready(page, "Usage")
    page.get_by_role("button", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name=kind, exact=True).click()
    # It goes away after some seconds.
    page.get_by_text("Export downloaded").wait_for()
    text = download.value.path().read_text()
    found = list(csv.DictReader(text.splitlines())) if kind == "CSV" else json.loads(text)
    assert {row["id"] for row in found} == {row["id"] for row in used.records if row["cost_usd"] is not None}


def test_a_comparison_finds_what_an_invoice_has_too_much(used, signed_in_page):
    page = signed_in_page("/usage/compare?provider=openai")
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    right, dearer = CALLS * NANO / 1e9, 2 * NANO / 1e9
    invoice = f"date,model,amount_usd\n{today},tts-1,{right:.9f}\n{today},tts-1-hd,{dearer + 1.25:.9f}\n{today},tts-1,many\n"
    page.get_by_label("Drop the invoice here").set_input_files(
        {"name": "invoice.csv", "mimeType": "text/csv", "buffer": invoice.encode()})
    row = page.get_by_role("region", name="Differences").get_by_role("row").filter(has_text="tts-1-hd")
    row.get_by_text("+$1.25", exact=True).wait_for()
    rows = page.get_by_role("region", name="Differences").get_by_role("row")
    assert "tts-1" not in [cell.strip() for cell in rows.locator("td:nth-child(2)").all_inner_texts()], "that one is right"
    page.get_by_text("One line is not counted").wait_for()
    check_axe(page)


def test_a_comparison_is_of_the_invoice_that_is_named(used, signed_in_page):
    page = signed_in_page("/usage/compare?provider=openai")
    drop, held = page.get_by_label("Drop the invoice here"), Held(page, "**/api/v1/usage/compare*", "POST")
    for place, model in enumerate(["of-the-first", "of-the-second"]):
        invoice = f"date,model,amount_usd\n2026-01-01,{model},1\n".encode()
        drop.set_input_files({"name": f"{model}.csv", "mimeType": "text/csv", "buffer": invoice})
        held.wait(place + 1)
    held.release(1)
    page.get_by_text("Compared of-the-second.csv.").wait_for()
    differences = page.get_by_role("region", name="Differences")
    differences.get_by_text("of-the-second", exact=True).wait_for()
    held.end()
    assert differences.get_by_text("of-the-second", exact=True).count() and not page.get_by_text("of-the-first").count()


def test_a_comparison_is_with_the_provider_that_is_chosen(site, used, signed_in_page):
    site.provider("groq", "another")
    page = signed_in_page("/usage/compare?provider=openai")
    drop, provider = page.get_by_label("Drop the invoice here"), page.get_by_label("Provider", exact=True)
    lines = b"date,model,amount_usd\n2026-01-01,its-model,1\n"
    invoice = {"name": "of-openai.csv", "mimeType": "text/csv", "buffer": lines}
    drop.set_input_files(invoice)
    page.get_by_text("Compared of-openai.csv.").wait_for()
    provider.select_option("another")
    page.get_by_text("Compared of-openai.csv.").wait_for(state="detached")
    assert not page.get_by_text("its-model").count()
    provider.select_option("openai")
    held = Held(page, "**/api/v1/usage/compare*", "POST")
    drop.set_input_files(invoice)
    held.wait()
    provider.select_option("another")
    held.end()
    assert not page.get_by_text("its-model").count() and not page.get_by_text("of-openai").count()
    assert page.get_by_text("Example of an invoice").count()


def test_a_channel_is_made_tried_and_its_messages_are_signed(site, used, signed_in_page, receiver):
    page = signed_in_page("/alerts?view=channels")
    page.get_by_role("button", name="Create channel").first.click()
    dialog = page.get_by_role("dialog", name="Create channel")
    dialog.get_by_label("Name").fill("Receiver")
    dialog.get_by_label("URL").fill(receiver.url)
    dialog.get_by_role("button", name="Create channel").click()
    # What is wrong stands beside its field, and nothing that was written is lost.
    dialog.locator(".field.invalid").first.wait_for()
    assert dialog.get_by_label("URL").input_value() == receiver.url
    dialog.get_by_role("button", name="Generate a secret").click()
    secret = dialog.get_by_label("Signing secret").input_value()
    assert len(secret) == 32
    dialog.get_by_label("Allow plain http").check()
    check_axe(page)
    dialog.get_by_role("button", name="Create channel").click()
    dialog.wait_for(state="hidden")
    page.get_by_role("row").filter(has_text="Receiver").get_by_role("button", name="Test").click()
    outcome = page.get_by_role("dialog", name="Test message")
    outcome.get_by_text("The message was taken").wait_for()
    outcome.get_by_text("202").wait_for()
    headers, body = receiver.told[0]
    signed = dict(part.split("=") for part in next(value for name, value in headers.items() if name.lower() == "x-antiphon-signature").split(","))
    expected = hmac.new(secret.encode(), signed["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    assert signed["v1"] == expected and json.loads(body)["event"] == "alert.test"
    outcome.get_by_role("button", name="Close").click()
    page.get_by_role("tab", name="Deliveries").click()
    page.get_by_role("row").filter(has_text="Receiver").get_by_text("Delivered").wait_for()


def test_a_viewer_looks_and_changes_nothing(site, used, signed_in_page):
    rule = {"name": "Theirs", "tenant_id": used.tenant["id"], "condition": {"kind": "spend_rate", "usd": "5", "window_minutes": 60}}
    site.ask("POST", "alerts/rules", rule)
    page = signed_in_page("/alerts?view=rules", used.viewer)
    page.get_by_role("row").filter(has_text="Theirs").wait_for()
    names = re.compile("Create|Actions for|Acknowledge|Test|Delete|Edit")
    assert not page.get_by_role("main").get_by_role("button", name=names).count()
    page.goto("/alerts?view=channels")
    page.get_by_text("No channels").wait_for()
    assert not page.get_by_role("main").get_by_role("button", name=names).count()
    page.goto("/usage")
    is_ready(page, "Usage")
    assert not page.get_by_role("link", name="Compare invoice").count()
    page.goto("/usage/compare")
    page.get_by_text("Administrators compare invoices").wait_for()


PATHS = [
    "/", "/usage", "/usage?by=provider&then=model&measure=ttfb", "/usage?view=records", "/usage/compare", "/alerts",
    "/alerts?view=rules", "/alerts?view=channels", "/alerts?view=deliveries", "/usage/records/{record}",
]


@pytest.mark.parametrize("path", PATHS)
def test_everybody_can_use_it(used, signed_in_page, path):
    page = signed_in_page(path.format(record=used.sturdy["id"]), width=WIDE)
    whole(page)
    for theme in ("light", "dark"):
        wear(page, theme)
        check_axe(page)
    page.set_viewport_size({"width": NARROW, "height": 800})
    check_width(page)
    check_axe(page)


def test_a_rule_fires_is_acknowledged_muted_changed_and_deleted(site, used, signed_in_page):
    conftest.wait_for(lambda: site.ask("GET", "alerts?state=firing")["data"] or None)
    page = signed_in_page("/")
    page.get_by_role("link", name="Missing prices").click()
    panel = page.get_by_role("dialog", name="Alert")
    panel.get_by_role("button", name="Acknowledge").click()
    panel.get_by_role("button", name="Acknowledge").wait_for(state="hidden")
    [alert] = site.ask("GET", "alerts?state=firing")["data"]
    assert alert["acknowledged_at"]
    check_axe(page)
    panel.get_by_role("button", name="Close").click()
    page.get_by_role("tab", name="Rules").click()
    rule = page.get_by_role("row").filter(has_text="Missing prices")
    rule.get_by_role("button", name="Actions for Missing prices").click()
    page.get_by_role("menuitem", name="Mute for a day").click()
    rule.get_by_text(re.compile("Muted until")).wait_for()
    rule.get_by_role("button", name="Missing prices", exact=True).click()
    edit = page.get_by_role("dialog", name="Edit rule")
    edit.get_by_label("Minutes looked back on").wait_for()
    assert edit.get_by_label("Minutes looked back on").input_value() == "600"
    # Meanwhile somebody else changes it: that is said, and nothing is written over it.
    site.ask("PATCH", f"alerts/rules/{alert['rule_id']}", {"severity": "info"})
    edit.get_by_label("Name").fill("Prices that are missing")
    edit.get_by_role("button", name="Save").click()
    edit.get_by_role("button", name="Load it again").click()
    edit.get_by_role("button", name="Load it again").wait_for(state="hidden")
    assert edit.get_by_label("Severity").input_value() == "info"
    edit.get_by_label("Name").fill("Prices that are missing")
    edit.get_by_role("button", name="Save").click()
    edit.wait_for(state="hidden")
    page.get_by_role("button", name="Actions for Prices that are missing").click()
    page.get_by_role("menuitem", name="Delete").click()
    page.get_by_role("dialog", name="Delete this rule?").get_by_role("button", name="Delete rule").click()
    page.get_by_text("Rule deleted").wait_for()
    assert not site.ask("GET", "alerts/rules?q=missing")["data"]
