#!/usr/bin/env python3
"""Writes the table of values into charts/antiphon/README.md, from the comments in values.yaml.

    .venv/chart/bin/python scripts/chart-readme.py            writes it
    .venv/chart/bin/python scripts/chart-readme.py --check    says whether it is as it should be

A comment that begins with `# --` describes the key below it, with all that is below that key. A value that no such
comment covers is an error.
"""

import json
import pathlib
import re
import sys

import yaml

CHART = pathlib.Path(__file__).resolve().parents[1] / "charts" / "antiphon"
BEGIN, END = "<!-- values: written by scripts/chart-readme.py -->", "<!-- end of values -->"
KEY = re.compile(r"^( *)([A-Za-z][A-Za-z0-9_]*):")


def described(text):
    """Path of keys and description, in the order of the file."""
    found, path, comment = [], [], []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped[5:]]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped[2:])
        elif (key := KEY.match(line)) is not None:
            depth = len(key[1]) // 2
            path = [*path[:depth], key[2]]
            if comment:
                found.append((tuple(path), " ".join(comment)))
            comment = []
        else:
            comment = []
    return found


def leaves(value, path=()):
    """Paths of everything that is not a section."""
    if not isinstance(value, dict) or not value:
        return [path]
    return [leaf for key, inner in value.items() for leaf in leaves(inner, (*path, key))]


def value_at(values, path):
    for key in path:
        values = values[key]
    return values


def undescribed(values, paths):
    """Values that no comment covers."""
    covered = {path for path, _ in paths}
    return [leaf for leaf in leaves(values) if not any(leaf[:size] in covered for size in range(1, len(leaf) + 1))]


def default_of(values, path, paths):
    """The default as JSON; of a section whose values are described one by one it would only repeat them."""
    value = value_at(values, path)
    inside = any(other[: len(path)] == path and other != path for other, _ in paths)
    return "" if inside else f"`{json.dumps(value, ensure_ascii=False)}`"


def table(text):
    values, paths = yaml.safe_load(text), described(text)
    missing = [".".join(leaf) for leaf in undescribed(values, paths)]
    if missing:
        raise SystemExit(f"values.yaml: no comment describes {', '.join(missing)}")
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for path, words in paths:
        default = default_of(values, path, paths).replace("|", "\\|")
        rows.append(f"| `{'.'.join(path)}` | {default} | {words.replace('|', chr(92) + '|')} |")
    return "\n".join(rows)


def written(readme, values):
    """The README with a table that is true."""
    head, rest = readme.split(BEGIN)
    tail = rest.split(END)[1]
    return f"{head}{BEGIN}\n\n{table(values)}\n\n{END}{tail}"


def main(arguments):
    file = CHART / "README.md"
    readme = file.read_text()
    wanted = written(readme, (CHART / "values.yaml").read_text())
    if "--check" in arguments:
        return 0 if wanted == readme else "charts/antiphon/README.md: run scripts/chart-readme.py"
    file.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
