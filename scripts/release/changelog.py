"""Folds the fragments of changelog.d/ into CHANGELOG.md and removes them.

  python3 scripts/release/changelog.py 0.2.0 2026-12-01      the date is today's unless told
  python3 scripts/release/changelog.py --check               only tells whether each fragment could be folded

A fragment is changelog.d/NAME.KIND.md, and one entry: a paragraph, or a list of its own below one.
"""

import datetime
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# In the order that a reader wants: what may hurt first.
KINDS = {"breaking": "Breaking", "security": "Security", "added": "Added", "changed": "Changed", "fixed": "Fixed"}
NEXT = "## Unreleased\n\nSee `changelog.d/`.\n"
VERSION = r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?"


class Refused(Exception):
    """What keeps a changelog from being folded."""


def fragments(root):
    """The files of each kind, by name."""
    found = {kind: [] for kind in KINDS}
    for file in sorted((root / "changelog.d").glob("*")):
        match = re.fullmatch(r"[a-z0-9-]+\.([a-z]+)\.md", file.name)
        if match is None or match[1] not in KINDS:
            raise Refused(f"changelog.d/{file.name}: the name is not NAME.KIND.md, KIND one of {', '.join(KINDS)}")
        if not file.read_text().strip():
            raise Refused(f"changelog.d/{file.name} is empty")
        found[match[1]].append(file)
    return {kind: files for kind, files in found.items() if files}


def entry(file):
    """A fragment as an item of a list."""
    lines = file.read_text().strip().splitlines()
    if lines[0].startswith("- "):
        lines = [lines[0][2:], *(line.removeprefix("  ") for line in lines[1:])]
    return "\n".join(f"{'- ' if at == 0 else '  '}{line}".rstrip() for at, line in enumerate(lines))


def section(version, date, found):
    parts = [f"## {version} - {date}"]
    for kind, files in found.items():
        parts.append(f"### {KINDS[kind]}")
        parts.append("\n".join(entry(file) for file in files))
    return "\n\n".join(parts) + "\n"


def fold(root, version, date):
    """Writes CHANGELOG.md and removes the fragments. Nothing is touched where something is wrong."""
    path = root / "CHANGELOG.md"
    text = path.read_text()
    found = fragments(root)
    if not found:
        raise Refused("changelog.d/ has no fragment: there is nothing to release")
    if re.search(rf"^## {re.escape(version)}( |$)", text, flags=re.M):
        raise Refused(f"CHANGELOG.md has {version} already")
    if text.count(NEXT) != 1:
        raise Refused(f"CHANGELOG.md does not have once: {NEXT!r}")
    path.write_text(text.replace(NEXT, f"{NEXT}\n{section(version, date, found)}"))
    for files in found.values():
        for file in files:
            file.unlink()
    return sum(len(files) for files in found.values())


def main(arguments, root=ROOT):
    try:
        if arguments == ["--check"]:
            print(f"changelog.d/ has {sum(map(len, fragments(root).values()))} fragments")
            return 0
        if len(arguments) not in (1, 2) or re.fullmatch(VERSION, arguments[0]) is None:
            print(__doc__, file=sys.stderr)
            return 2
        date = arguments[1] if len(arguments) == 2 else datetime.date.today().isoformat()
        datetime.date.fromisoformat(date)
        print(f"folded {fold(root, arguments[0], date)} fragments into {arguments[0]}")
        return 0
    except (Refused, ValueError) as why:
        print(f"changelog: {why}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
