"""What both files of tests start from."""

import pytest

import programs


@pytest.fixture(scope="session")
def binary():
    return programs.binary("antiphon")
