"""The product's version, which stands in the workspace's Cargo.toml; the files that must repeat it follow.

  python3 scripts/release/version.py            prints it
  python3 scripts/release/version.py 0.2.0      sets it everywhere
  python3 scripts/release/version.py --check    tells where it is another

Every crate, and with it the command line, the OpenAPI document and the dashboard, takes it from there by itself.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FORM = r"\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?"
SOURCE = ("Cargo.toml", r'(?m)^version = "()"$')
# A file, and where in it the version stands.
FOLLOWERS = [
    ("charts/antiphon/Chart.yaml", r"(?m)^version: ()$"),
    ("charts/antiphon/Chart.yaml", r'(?m)^appVersion: "()"$'),
    ("Dockerfile", r"(?m)^ARG VERSION=()$"),
]
# Of both workspaces. One that does not follow is written anew by cargo, or refused with `--locked`.
LOCKS = ["Cargo.lock", "fuzz/Cargo.lock"]


def members(root):
    text = (root / "Cargo.toml").read_text()
    return re.findall(r'"([^"]+)"', re.search(r"^members = \[(.*?)\]", text, flags=re.M | re.S)[1])


def place(pattern):
    return re.compile(pattern.replace("()", f"({FORM})"))


def found(root, file, pattern):
    match = place(pattern).search((root / file).read_text())
    if match is None:
        raise SystemExit(f"{file} has no version where one should be")
    return match[1]


def put(root, file, pattern, version):
    text = (root / file).read_text()
    match = place(pattern).search(text)
    (root / file).write_text(text[:match.start(1)] + version + text[match.end(1):])


def entry(name):
    return rf'(?m)^name = "{name}"\nversion = "()"$'


def locked(root):
    """The members that each lock file has: the product's has all, that of the fuzz targets what they look at."""
    for lock in LOCKS:
        text = (root / lock).read_text()
        yield from ((lock, name) for name in members(root) if place(entry(name)).search(text))


def current(root=ROOT):
    return found(root, *SOURCE)


def problems(root=ROOT):
    """Whatever does not follow."""
    version, told = current(root), []
    for file, pattern in FOLLOWERS:
        if (other := found(root, file, pattern)) != version:
            told.append(f"{file} has {other}")
    for member in members(root):
        if "\nversion.workspace = true\n" not in (root / member / "Cargo.toml").read_text():
            told.append(f"{member}/Cargo.toml has a version of its own")
    for lock, name in locked(root):
        if (other := found(root, lock, entry(name))) != version:
            told.append(f"{lock} has {name} {other}")
    return [f"{problem}, the workspace {version}" for problem in told]


def change(version, root=ROOT):
    for file, pattern in [SOURCE, *FOLLOWERS]:
        found(root, file, pattern)
        put(root, file, pattern, version)
    for lock, name in locked(root):
        put(root, lock, entry(name), version)


def main(arguments):
    if not arguments:
        print(current())
    elif arguments == ["--check"]:
        told = problems()
        print("\n".join(told) if told else f"everything is {current()}")
        return 1 if told else 0
    elif len(arguments) == 1 and re.fullmatch(FORM, arguments[0]):
        change(arguments[0])
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
