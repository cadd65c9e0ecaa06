"""Writes what the licences of others ask for: who wrote what ships in Antiphon, and under which terms, with the texts.

  python3 scripts/release/licences.py FILE [TARGET]      TARGET is this machine's unless told

In it is every file of a crate that ships whose name, or whose folder's, is that of a licence, a notice or a list of
authors, save program sources and tests; those in an archive that a crate brings too. Each text is there once. What only
takes part in the build is not. Needs the sources of the crates, which a build has fetched, and nothing but Python.
"""

import pathlib
import re
import sys
import textwrap
import zipfile

import bundled
import crates

ROOT = crates.ROOT
NAMES = re.compile(r"(?i)^\.?(un)?(licen[cs]es?|copying|copyright|notices?|authors)([-_.].*)?$")
PROGRAMS = {".rs", ".py", ".sh", ".c", ".h", ".yml", ".yaml", ".toml"}
RULE = "=" * 100
HEAD = """Antiphon {version} is under the Apache License 2.0. What others wrote is a part of it, under the terms below.
The standard library of Rust is too: by the Rust Project's developers, under the Apache License 2.0 or the MIT License.
"""
# For crates that name this licence and bring no text of it.
MIT = """Copyright (c) {authors}

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE."""


def files(crate):
    """Its files of licences, those of C sources that it brings too."""
    found = []
    for path in sorted(crate.folder.rglob("*")):
        parts = path.relative_to(crate.folder).parts
        named = any(NAMES.match(part) for part in parts) and path.suffix not in PROGRAMS
        if named and "tests" not in parts and path.is_file():
            found.append(path)
    return found


def archived(crate):
    """The texts in the archive that it brings, of which bundled.py knows."""
    if crate.name not in bundled.ARCHIVES:
        return []
    with zipfile.ZipFile(bundled.ARCHIVES[crate.name](crate.folder)) as archive:
        upper = [name for name in sorted(archive.namelist()) if name.count("/") == 1]
        found = [archive.read(name).decode() for name in upper if NAMES.match(name.split("/")[1])]
        if not found:
            raise SystemExit(f"licences: {archive.filename} has no licence in its first folder")
        return found


def texts(crate):
    """The texts of its licences; a usual one stands in where it brings none of its own."""
    brought = files(crate)
    found = [path.read_text(errors="replace") for path in brought] + archived(crate)
    found = [text for text in found if text.strip()]
    own = any(path.parent == crate.folder or path.parent.parent == crate.folder for path in brought)
    return found if own else [*found, usual(crate)]


def usual(crate):
    alternatives = re.split(r" OR ", crate.licence)
    if "Apache-2.0" in alternatives:
        return (ROOT / "LICENSE").read_text()
    if "MIT" in alternatives:
        authors = ", ".join(re.sub(r" <.*?>", "", author) for author in crate.facts["authors"])
        return MIT.format(authors=authors or f"the authors of {crate.name}")
    raise SystemExit(f"licences: {crate.name} {crate.version} ({crate.licence}) brings no text of its licence")


def report(shipped):
    others = [crate for crate in shipped.values() if crate.inside and not crate.ours]
    by_text = {}
    for crate in others:
        for text in texts(crate):
            # The same words in other lines are the same text.
            same = " ".join(text.split()).lower()
            by_text.setdefault(same, (text, []))[1].append(f"{crate.name} {crate.version}")
    parts = [HEAD.format(version=crates.workspace_version())]
    parts.append("\n".join(f"{crate.name} {crate.version}: {crate.licence}, {source(crate)}" for crate in others))
    for text, users in sorted(by_text.values(), key=lambda found: found[1]):
        names = ", ".join(dict.fromkeys(users))
        names = textwrap.fill(names, width=100, break_long_words=False, break_on_hyphens=False)
        parts.append(f"{RULE}\n{names}\n\n{text.strip()}")
    return "\n\n".join(parts) + "\n"


def source(crate):
    return crate.facts["repository"] or "no repository told"


def main(arguments):
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    written = report(crates.shipped(*arguments[1:]))
    path = pathlib.Path(arguments[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(written)
    print(f"licences: {path}, {len(written.encode()) // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
