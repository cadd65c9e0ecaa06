"""The dashboard's size and speed: what is promised, and what it is.

    make bench-ui        on a quiet machine

The bundle is what a first visit transfers in brotli. The first paint is that of the overview with an operator's data, for
somebody who has signed in, in a browser that has nothing cached; the median of the runs. Frames are counted while a table
of 10,000 keys scrolls from its top to its end: one is late that took longer than two of the screen's.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time

from playwright.sync_api import sync_playwright

import conftest
from browser import evaluate, launched, open_signed_in
from stage import stage

MOST_KIB, MOST_PAINT_MS, KEYS = 600, 1000, 10_000
# The moment at which the overview's heading, and with it the page, was painted.
PAINTED = """
new Promise(done => {
    const look = () => document.querySelector("main h1")
        ? requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now())))
        : requestAnimationFrame(look);
    look();
})
"""
SCROLL = """
(async () => {
    const region = [...document.querySelectorAll("[role=region]")].find(region => region.scrollHeight > region.clientHeight + 100)
        ?? document.scrollingElement;
    const whole = region.scrollHeight - region.clientHeight;
    const times = [];
    const began = performance.now();
    await new Promise(done => {
        const step = now => {
            times.push(now);
            region.scrollTop = whole * Math.min(1, (now - began) / 5000);
            now - began < 5200 ? requestAnimationFrame(step) : done();
        };
        requestAnimationFrame(step);
    });
    const took = times.slice(1).map((time, at) => time - times[at]);
    return {rows: document.querySelectorAll("tbody tr").length, height: whole, frames: took.length,
        late: took.filter(took => took > 34).length, longest: Math.max(...took)};
})()
"""


def bundle_kib():
    """What a browser is sent for its first page."""
    dist = conftest.ROOT / "web-ui" / "dist"
    files = [file for file in dist.rglob("*") if file.is_file() and file.suffix not in (".br", ".gz") and file.name[0] != "."]
    best = [min((file, pathlib.Path(f"{file}.br")), key=lambda one: one.stat().st_size if one.exists() else 1 << 40) for file in files]
    return sum(file.stat().st_size for file in best) / 1024


def first_paint(playwright, site):
    """Milliseconds to the signed-in overview, in a browser of its own that has nothing cached."""
    browser = launched(playwright)
    page = open_signed_in(browser, site, None)
    page.goto("/", wait_until="commit")
    painted = evaluate(page, PAINTED)
    contentful = evaluate(page, "performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    page.watch.check()
    browser.close()
    return painted, contentful


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=9)
    options = options.parse_args()
    failed = []

    def told(what, value, most, unit):
        print(f"{what:<44} {value:>8.1f} {unit:<4} (at most {most})")
        if value > most:
            failed.append(what)

    told("bundle, brotli", bundle_kib(), MOST_KIB, "KiB")
    with tempfile.TemporaryDirectory() as folder, stage(folder, keys=KEYS) as (site, _), sync_playwright() as playwright:
        runs = [first_paint(playwright, site) for _ in range(options.runs)]
        painted = sorted(painted for painted, _ in runs)
        told("overview painted, cold, median", statistics.median(painted), MOST_PAINT_MS, "ms")
        print(f"  smallest {painted[0]:.0f} ms, largest {painted[-1]:.0f} ms; anything at all after "
              f"{statistics.median(first or 0 for _, first in runs):.0f} ms")
        browser = launched(playwright)
        page = open_signed_in(browser, site, "/keys")
        page.get_by_role("heading", level=1).wait_for()
        if page.locator("table").count() or wait_for_table(page):
            load_all(page)
            seen = evaluate(page, SCROLL)
            print(f"scrolled {seen['height']} px in {seen['frames']} frames, {seen['rows']} rows in the page")
            told("frames later than two of the screen's", seen["late"], 0, "")
            print(f"  the longest took {seen['longest']:.0f} ms")
        else:
            print("there is no table of keys to scroll")
        browser.close()
    if failed:
        sys.exit(f"missed: {', '.join(failed)}")


def wait_for_table(page):
    """Whether a table comes."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if page.locator("table").count():
            return True
        page.wait_for_timeout(100)
    return False


def load_all(page):
    """Presses for more until every row is there."""
    more = page.get_by_role("button", name="Load more")
    while more.count() and more.first.is_visible():
        before = evaluate(page, "document.querySelector('table').getAttribute('aria-rowcount')")
        more.first.click()
        for _ in range(100):
            page.wait_for_timeout(50)
            if not more.count() or evaluate(page, "document.querySelector('table').getAttribute('aria-rowcount')") != before:
                break


if __name__ == "__main__":
    main()
