"""What all files of tests start from: the scripts of releases as modules, the crates that ship, and the program."""

import os
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "release"))


@pytest.fixture(scope="session")
def shipped():
    import crates

    return crates.shipped()


@pytest.fixture(scope="session")
def binary():
    """Of `ANTIPHON_BIN`, else of the debug build."""
    told = os.environ.get("ANTIPHON_BIN")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = pathlib.Path(told) if told else target / "debug" / "antiphon"
    assert found.exists(), f"{found} is missing: cargo build -p antiphon"
    return found
