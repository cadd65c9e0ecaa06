"""Keeps docs/decisions/dependencies.md true: each crate that a manifest names has its reason there, and counts are as
cargo counts.

  python3 scripts/release/dependencies.py            tells what is not true
  python3 scripts/release/dependencies.py --write    counts anew
"""

import json
import re
import sys

import crates

FILE = crates.ROOT / "docs" / "decisions" / "dependencies.md"
# Between these lines stand the counts.
BEGIN, END = "<!-- counted -->", "<!-- end -->"
REASON = re.compile(r"^\| `([a-zA-Z0-9_-]+)` \| .+ \|$", flags=re.M)


def direct():
    """What each crate of ours takes from outside: for itself, and for its tests and builds alone."""
    found = {}
    told = json.loads(crates.cargo("metadata", "--locked", "--quiet", "--no-deps", "--format-version", "1"))
    for package in told["packages"]:
        outside = [one for one in package["dependencies"] if "path" not in one]
        itself = {one["name"] for one in outside if one["kind"] is None}
        found[package["name"]] = (itself, {one["name"] for one in outside} - itself)
    return found


def counts(named, shipped):
    inside = [crate for crate in shipped.values() if crate.inside and not crate.ours]
    apart = [crate for crate in shipped.values() if not crate.inside]
    of = {part: sum(part in crate.parts for crate in inside) for part in ("antiphon", "web-ui")}
    lines = [
        f"{len(named)} direct dependencies. Inside what is shipped are {len(inside)} crates of others:",
        f"{of['antiphon']} in the program, {of['web-ui']} in the dashboard, some in both.",
        f"{len(apart)} more only take part in the build.",
        "", "| crate | direct | for tests and builds alone |", "| --- | --- | --- |",
    ]
    rows = [f"| {name} | {len(itself)} | {len(tests)} |" for name, (itself, tests) in sorted(direct().items())]
    return "\n".join([*lines, *rows])


def problems(text):
    named = set().union(*(itself | tests for itself, tests in direct().values()))
    explained = REASON.findall(text)
    told = [f"`{name}` has no row with its reason" for name in sorted(named - set(explained))]
    told += [f"`{name}` has a row and is no dependency" for name in sorted(set(explained) - named)]
    told += [f"`{name}` has two rows" for name in sorted(set(explained)) if explained.count(name) > 1]
    if told:
        return told, text
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    counted = f"{before}{BEGIN}\n{counts(named, crates.shipped('x86_64-unknown-linux-gnu'))}\n{END}{after}"
    if counted != text:
        told.append("the counts are old: python3 scripts/release/dependencies.py --write")
    return told, counted


def main(arguments):
    text = FILE.read_text()
    told, counted = problems(text)
    if arguments == ["--write"] and counted != text:
        FILE.write_text(counted)
        return 0
    for problem in told:
        print(f"{FILE.relative_to(crates.ROOT)}: {problem}", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
