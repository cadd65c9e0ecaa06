"""The dashboard's size and speed: what is promised, and what it is.

    make bench-ui        on a quiet machine

Sent is what a first visit to a page fetches of the bundle, in brotli, in a browser that has nothing cached. The first
paint is that of the overview with an operator's data, for somebody who has signed in, in such a browser; the median of
the runs. Frames are counted while a table of 10,000 keys scrolls for five seconds, at 12,000 pixels a second, which is
faster than anybody reads, and then from its top to its end: one is late that took longer than two of the screen's.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
import urllib.parse

from playwright.sync_api import sync_playwright

import conftest
from browser import evaluate, launched, open_page, open_signed_in
from screenshots import OPEN, PAGES
from stage import stage

MOST_KIB, MOST_PAINT_MS, KEYS, SPEED = 600, 1000, 10_000, 12_000
DIST = conftest.ROOT / "web-ui" / "dist"
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
(async speed => {
    const region = [...document.querySelectorAll("[role=region]")].find(region => region.scrollHeight > region.clientHeight + 100)
        ?? document.scrollingElement;
    const whole = region.scrollHeight - region.clientHeight;
    const times = [];
    const began = performance.now();
    await new Promise(done => {
        const step = now => {
            times.push(now);
            region.scrollTop = Math.min(whole, speed * (now - began) / 1000);
            now - began < 5200 ? requestAnimationFrame(step) : done();
        };
        requestAnimationFrame(step);
    });
    const took = times.slice(1).map((time, at) => time - times[at]);
    return {rows: document.querySelectorAll("tbody tr").length, height: whole, frames: took.length,
        late: took.filter(took => took > 34).length, longest: Math.max(...took)};
})(%d)
"""


def kib(files):
    """What files of the bundle are in the encoding that browsers take."""
    best = (min((file, pathlib.Path(f"{file}.br")), key=lambda one: one.stat().st_size if one.exists() else 1 << 40) for file in files)
    return sum(file.stat().st_size for file in best) / 1024


def bundled():
    """Every file of the bundle."""
    files = (file for file in DIST.rglob("*") if file.is_file() and file.name[0] != ".")
    return [file for file in files if file.suffix not in (".br", ".gz")]


def fetched(page):
    """The files of the bundle that a page has fetched."""
    paths = {urllib.parse.urlsplit(request.split(" ", 1)[1]).path for request in page.watch.requests}
    files = {DIST / path.lstrip("/") for path in paths} | {DIST / "index.html"}
    return [file for file in files if file.is_file()]


def sent(playwright, site, path, opening=open_signed_in):
    """KiB of the bundle that a first visit to a page fetches."""
    browser = launched(playwright)
    page = opening(browser, site, path)
    page.get_by_role("heading", level=1).first.wait_for()
    # Some pages are told of changes as they come, and never done with asking; what they are made of is there by now.
    page.wait_for_timeout(500)
    told = kib(fetched(page))
    page.watch.check()
    browser.close()
    return told


def painted(playwright, site):
    """Milliseconds to the overview, and to anything at all, in a browser of its own that has nothing cached."""
    browser = launched(playwright)
    page = open_signed_in(browser, site, None)
    page.goto("/", wait_until="commit")
    overview = evaluate(page, PAINTED)
    contentful = evaluate(page, "performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    page.watch.check()
    browser.close()
    return overview, contentful


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=9)
    options = options.parse_args()
    failed = []

    def told(what, value, most, unit):
        print(f"{what:<44} {value:>8.1f} {unit:<4} (at most {most})")
        if value > most:
            failed.append(what)

    with tempfile.TemporaryDirectory() as folder, stage(folder, keys=KEYS) as (site, ids), sync_playwright() as playwright:
        most = 0
        for name, path in (OPEN | PAGES).items():
            opening = open_page if name in OPEN else open_signed_in
            page_kib = sent(playwright, site, path.format(**vars(ids)), opening)
            print(f"  {name:<42} {page_kib:>8.1f} KiB")
            most = max(most, page_kib)
        told("most sent on a first visit, brotli", most, MOST_KIB, "KiB")
        print(f"  {'all files of the bundle':<42} {kib(bundled()):>8.1f} KiB")
        runs = [painted(playwright, site) for _ in range(options.runs)]
        overview = sorted(overview for overview, _ in runs)
        told("overview painted, cold, median", statistics.median(overview), MOST_PAINT_MS, "ms")
        print(f"  smallest {overview[0]:.0f} ms, largest {overview[-1]:.0f} ms; anything at all after "
              f"{statistics.median(first or 0 for _, first in runs):.0f} ms")
        browser = launched(playwright)
        page = open_signed_in(browser, site, "/keys")
        page.get_by_role("heading", level=1).wait_for()
        if page.locator("table").count() or wait_for_table(page):
            load_all(page)
            page.wait_for_timeout(1000)
            seen = evaluate(page, SCROLL % SPEED)
            told(f"late of {seen['frames']} frames at {SPEED} px/s", seen["late"], 0, "")
            print(f"  the longest took {seen['longest']:.0f} ms; {seen['rows']} rows in the page")
            whole = evaluate(page, SCROLL % (seen["height"] / 5))
            print(f"  all {seen['height']} px in five seconds: {whole['late']} late of {whole['frames']}")
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
