"""What both files of tests start from: the binary of `ANTIPHON_BIN`, else of the debug build."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def binary():
    told = os.environ.get("ANTIPHON_BIN")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = pathlib.Path(told) if told else target / "debug" / "antiphon"
    assert found.exists(), f"{found} is missing: cargo build -p antiphon"
    return found
