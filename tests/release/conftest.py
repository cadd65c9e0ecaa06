"""What all files of tests start from: the scripts of releases as modules, the crates that ship, and the program."""

import sys

import pytest

import programs
from programs import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "release"))


@pytest.fixture(scope="session")
def shipped():
    import crates

    return crates.shipped()


@pytest.fixture(scope="session")
def binary():
    return programs.binary("antiphon")
