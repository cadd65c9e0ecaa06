"""The programs that are tested."""

import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[1]


def binary(name):
    """Of `ANTIPHON_BIN` or `LOADTEST_BIN`, else the debug build in `CARGO_TARGET_DIR` or `target`."""
    told = os.environ.get(f"{name.upper()}_BIN")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    path = pathlib.Path(told) if told else ROOT / target / "debug" / name
    assert path.is_file(), f"{path} is missing: cargo build -p {name}"
    return path
