"""The first quarter of an hour: from the first sign-in to a bill, all of it in the browser."""

import re

import conftest
from browser import check_axe

TEXT = "Good morning, and welcome aboard."
# `tts-1` costs 15 dollars for a million characters.
COST = f"${15 * len(TEXT) / 1e6:.6f}".rstrip("0")


def heading(page, name):
    page.get_by_role("heading", level=1, name=name, exact=True).wait_for()


def go(page, name):
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()
    heading(page, name)


def test_from_the_first_sign_in_to_the_first_bill(site, new_page):
    page = new_page("/")
    page.get_by_label("E-mail address").fill(site.admin.email)
    page.get_by_label("Password").fill(site.admin.password)
    page.get_by_label("Password").press("Enter")
    heading(page, "Overview")

    go(page, "Providers")
    page.get_by_role("button", name="Add provider").first.click()
    dialog = page.get_by_role("dialog", name="Add provider")
    dialog.get_by_label("Kind").select_option("openai")
    dialog.get_by_label("Name").fill("openai")
    dialog.get_by_label("Credential").fill("sk-upstream")
    dialog.get_by_label("Address").fill(site.upstreams["openai"].url + "/v1")
    dialog.get_by_label("May be on a private network").check()
    dialog.get_by_role("button", name="Add provider").click()
    heading(page, "openai")

    go(page, "Models")
    page.get_by_role("link", name="New model").first.click()
    heading(page, "New model")
    page.get_by_label("Name").fill("announcer")
    page.get_by_label("Provider").first.fill("openai")
    page.get_by_label("Model", exact=True).first.fill("tts-1")
    page.get_by_role("button", name="Create model").click()
    heading(page, "announcer")
    page.get_by_label("Operation").select_option("speech")
    page.get_by_role("button", name="Simulate").click()
    candidates = page.get_by_role("list", name="Candidates").get_by_role("listitem")
    candidates.first.wait_for()
    assert "openai/tts-1" in candidates.first.inner_text()

    go(page, "Keys")
    page.get_by_role("button", name="Create key").first.click()
    dialog = page.get_by_role("dialog", name="Create key")
    dialog.get_by_label("Name", exact=True).fill("airport")
    tenant = dialog.get_by_label("Tenant", exact=True)
    tenant.locator("option", has_text="default").wait_for(state="attached")
    tenant.select_option(label="default")
    dialog.get_by_label(re.compile("Budget in US dollars")).fill("1")
    dialog.get_by_role("button", name="Create key").click()
    secret = dialog.get_by_label("Secret", exact=True).input_value()
    dialog.get_by_role("button", name="Done").click()

    # As its developer does it, with the official SDK.
    assert conftest.wait_for(lambda: site._speak(secret, TEXT, "announcer"))
    site.records()

    go(page, "Usage")
    page.get_by_text(COST).first.wait_for()
    go(page, "Overview")
    page.get_by_role("main").get_by_text(COST).first.wait_for()
    check_axe(page)
    go(page, "Keys")
    page.get_by_role("link", name="airport", exact=True).click()
    heading(page, "airport")
    page.get_by_role("table", name="Recent calls").get_by_text(COST).first.wait_for()
