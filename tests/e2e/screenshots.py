"""Pictures of every page, light and dark, in a wide and in a narrow window, with data that looks like real ones.

    make screenshots                                                   into target/screenshots
    .venv/e2e/bin/python tests/e2e/screenshots.py --pages keys,key --to FOLDER     only these

What goes wrong in a page, and what axe-core calls serious, ends it with a failure after the last picture.
"""

import argparse
import pathlib
import sys
import tempfile

from playwright.sync_api import sync_playwright

import conftest
from browser import check_axe, check_width, launched, looks, open_page, open_signed_in
from stage import stage

# The name of a page and its path; what stands in braces is one of the installation's.
PAGES = {
    "overview": "/",
    "usage": "/usage?range=7d&by=provider",
    "usage-records": "/usage?view=records",
    "usage-record": "/usage/records/{record}",
    "invoice-comparison": "/usage/compare",
    "alerts": "/alerts",
    "alert-rules": "/alerts?view=rules",
    "alert-channels": "/alerts?view=channels",
    "deliveries": "/alerts?view=deliveries",
    "playground": "/playground",
    "playground-transcription": "/playground?tab=transcription",
    "playground-realtime": "/playground?tab=realtime",
    "sessions": "/sessions",
    "session": "/sessions/{session}",
    "account": "/account",
    "providers": "/providers",
    "provider": "/providers/{provider}",
    "models": "/models",
    "model": "/models/{model}",
    "model-new": "/models/new",
    "model-edit": "/models/{model}?edit=1",
    "voices": "/voices",
    "prices": "/prices",
    "prices-import": "/prices?tab=import",
    "prices-unpriced": "/prices?tab=unpriced",
    "not-found": "/no/such/page",
    "keys": "/keys",
    "keys-new": "/keys?new=1",
    "key": "/keys/{key}?range=30d",
    "users": "/users",
    "tenants": "/tenants",
    "tenant": "/tenants/{tenant}?range=30d",
    "settings": "/settings",
    "audit": "/audit",
}
# What is done on a page before its picture is taken.
READY = {
    name: lambda page: page.get_by_role("button", name="Make a temporary key").click() or page.get_by_role("tabpanel").first.wait_for()
    for name in PAGES if name.startswith("playground")
}
# A page that is told of changes as they come is never done with asking.
READY["sessions"] = READY["session"] = lambda page: page.get_by_role("status", name="Connection").filter(has_text="Live").wait_for()
# Without anybody signed in.
OPEN = {"sign-in": "/login", "accept": "/accept#token=shown-once"}


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pages", help="names, with commas between them; all unless told")
    options.add_argument("--to", default=str(conftest.ROOT / "target" / "screenshots"), help="a folder")
    options = options.parse_args()
    wanted = options.pages.split(",") if options.pages else [*OPEN, *PAGES]
    problems = []
    with tempfile.TemporaryDirectory() as folder, stage(folder) as (site, told), sync_playwright() as playwright:
        browser = launched(playwright)
        for name in wanted:
            path = (OPEN | PAGES)[name].format(**vars(told))
            opening = open_page if name in OPEN else open_signed_in
            page = opening(browser, site, path)
            try:
                page.get_by_role("heading", level=1).first.wait_for()
                READY.get(name, lambda page: None)(page)
                # Everything that the page asks for is there.
                if name not in ("sessions", "session"):
                    page.wait_for_load_state("networkidle")
                for picture in looks(page, options.to, name):
                    print(picture.relative_to(pathlib.Path.cwd()) if picture.is_relative_to(pathlib.Path.cwd()) else picture)
                check_axe(page)
                check_width(page)
                page.watch.check()
            except Exception as error:
                problems.append(f"{name}: {error}")
            page.context.close()
        browser.close()
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
