"""The way into the dashboard and what stands around its pages: sign-in, theme, palette, keyboard, drawer."""

import re
import urllib.parse

import pytest

from browser import NARROW, check_axe, check_width, evaluate, wear, whole


def fill(page, person, password=None):
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill(password or person.password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def is_at(page, path):
    page.wait_for_url(lambda url: urllib.parse.urlsplit(url).path == path)


def test_a_wrong_password_is_told_and_the_right_one_leads_in(site, new_page):
    page = new_page("/")
    is_at(page, "/login")
    check_axe(page)
    fill(page, site.admin, "not the password")
    page.get_by_role("alert").filter(has_text=re.compile("wrong", re.I)).first.wait_for()
    check_axe(page)
    assert page.get_by_label("E-mail address").input_value() == site.admin.email
    fill(page, site.admin)
    page.get_by_role("navigation", name="Main").wait_for()
    is_at(page, "/")
    assert evaluate(page, "JSON.stringify([...Object.entries(localStorage), ...Object.entries(sessionStorage)])").count("eyJ") == 0
    assert evaluate(page, "document.cookie") == "", "no script reads the sign-in"


def test_a_reload_keeps_one_signed_in_and_signing_out_ends_it_in_every_tab(site, signed_in_page):
    page = signed_in_page("/account")
    page.get_by_role("heading", level=1).wait_for()
    page.reload()
    page.get_by_role("navigation", name="Main").wait_for()
    is_at(page, "/account")
    other = page.context.new_page()
    other.goto("/account")
    other.get_by_role("navigation", name="Main").wait_for()
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Sign out").click()
    is_at(page, "/login")
    other.get_by_text("You signed out in another tab").wait_for()
    page.goto("/account")
    is_at(page, "/login")


def test_a_deep_link_is_where_one_comes_to_after_signing_in(site, new_page):
    page = new_page("/account?tab=tokens")
    is_at(page, "/login")
    fill(page, site.admin)
    is_at(page, "/account")
    assert "tab=tokens" in page.url
    # No link leads to another site.
    page = new_page("/login?next=https%3A%2F%2Fexample.com%2F")
    fill(page, site.admin)
    is_at(page, "/")


def test_a_sign_in_that_ends_in_mid_work_loses_nothing(site, signed_in_page):
    person = site.person("platform_admin", email="busy@example.com")
    page = signed_in_page("/account", person)
    page.get_by_role("button", name="Create token").click()
    dialog = page.get_by_role("dialog", name="Create token")
    dialog.get_by_label("Name").fill("half written")
    for session in site.ask("GET", "auth/sessions", by=person)["data"]:
        site.ask("DELETE", f"auth/sessions/{session['id']}", by=person, expected=(204, 401))
    # The tab's own token is void now, and so is its cookie.
    dialog.get_by_role("button", name=re.compile("Create")).click()
    again = page.get_by_role("dialog", name="Sign in again")
    again.wait_for()
    assert again.get_by_label("E-mail address").input_value() == person.email
    again.get_by_label("Password").fill(person.password)
    again.get_by_role("button", name="Sign in", exact=True).click()
    again.wait_for(state="hidden")
    # What waited is done; what was typed is in it.
    page.get_by_text("half written").first.wait_for()


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_theme_is_the_systems_until_one_chooses(site, signed_in_page, system):
    page = signed_in_page("/account", theme=system)
    theme = "document.documentElement.dataset.theme"
    page.get_by_role("button", name="Theme").wait_for()
    assert evaluate(page, theme) == system
    other = "Dark" if system == "light" else "Light"
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("menuitem", name=other).click()
    assert evaluate(page, theme) == other.lower()
    page.reload()
    page.get_by_role("button", name="Theme").wait_for()
    assert evaluate(page, theme) == other.lower(), "the choice stays"
    check_axe(page)


def test_the_palette_leads_anywhere_by_keyboard_alone(site, signed_in_page):
    page = signed_in_page("/")
    page.get_by_role("navigation", name="Main").wait_for()
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name=re.compile("Search pages"))
    field.wait_for()
    check_axe(page)
    page.keyboard.type("account")
    page.get_by_role("listbox", name="Results").get_by_role("option").first.wait_for()
    page.keyboard.press("Enter")
    is_at(page, "/account")
    assert not field.is_visible()
    page.keyboard.press("Control+k")
    field.wait_for()
    page.keyboard.press("Escape")
    field.wait_for(state="hidden")


def test_the_first_tab_skips_to_the_page(site, signed_in_page):
    page = signed_in_page("/account")
    page.get_by_role("heading", level=1).wait_for()
    page.keyboard.press("Tab")
    assert "skip" in evaluate(page, "document.activeElement.textContent").lower()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert evaluate(page, "!!document.activeElement.closest('main')")


def test_a_narrow_window_has_its_navigation_in_a_drawer(site, signed_in_page):
    page = signed_in_page("/account", width=NARROW)
    page.get_by_role("heading", level=1).wait_for()
    check_width(page)
    assert not page.get_by_role("navigation", name="Main").is_visible()
    page.get_by_role("button", name=re.compile("navigation|menu", re.I)).first.click()
    navigation = page.get_by_role("navigation", name="Main")
    navigation.wait_for()
    check_axe(page)
    page.keyboard.press("Escape")
    navigation.wait_for(state="hidden")


def test_a_path_that_is_no_page_says_so(site, signed_in_page):
    page = signed_in_page("/no/such/page")
    page.get_by_role("heading", level=1, name=re.compile("not|no", re.I)).wait_for()
    check_axe(page)


@pytest.mark.parametrize("width", [1440, NARROW])
@pytest.mark.parametrize("path", ["/", "/account"])
def test_every_page_can_be_used_by_everybody(site, signed_in_page, path, width):
    page = signed_in_page(path, width=width)
    whole(page)
    for theme in ("light", "dark"):
        wear(page, theme)
        check_axe(page)
    check_width(page)
