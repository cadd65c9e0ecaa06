"""Fragments become a section of the changelog, all or none."""

import shutil

import pytest

import changelog
from programs import ROOT


# Of no version of ours, so that what is released does not matter here.
HEAD = "# Changelog\n\nWhat is new.\n\n"
OLDER = "\n## 0.0.9 - 2026-11-02\n\n### Added\n\n- The first.\n"


@pytest.fixture
def copy(tmp_path):
    (tmp_path / "CHANGELOG.md").write_text(HEAD + changelog.NEXT + OLDER)
    (tmp_path / "changelog.d").mkdir()
    return tmp_path


def write(root, **fragments):
    for name, text in fragments.items():
        slug, kind = name.rsplit("_", 1)
        (root / "changelog.d" / f"{slug.replace('_', '-')}.{kind}.md").write_text(text)


def test_ours_can_be_folded(tmp_path):
    if not any((ROOT / "changelog.d").glob("*")):
        pytest.skip("nothing has changed since the last release")
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    shutil.copytree(ROOT / "changelog.d", tmp_path / "changelog.d")
    words = [" ".join(file.read_text().removeprefix("- ").split()) for file in (tmp_path / "changelog.d").iterdir()]
    assert changelog.main(["7.0.0", "2031-02-03"], tmp_path) == 0
    written = " ".join((tmp_path / "CHANGELOG.md").read_text().split())
    assert all(text in written for text in words)
    assert list((tmp_path / "changelog.d").iterdir()) == []


def test_a_release_stands_above_the_one_before(copy):
    write(copy, b_fixed="One\nin two lines.\n", a_fixed="- Other,\n  indented.\n", gone_breaking="Gone.\n")
    assert changelog.main(["0.2.0", "2026-12-01"], copy) == 0
    write(copy, later_security="Later.\n")
    assert changelog.main(["0.3.0", "2026-12-24"], copy) == 0
    assert (copy / "CHANGELOG.md").read_text() == HEAD + """## Unreleased

See `changelog.d/`.

## 0.3.0 - 2026-12-24

### Security

- Later.

## 0.2.0 - 2026-12-01

### Breaking

- Gone.

### Fixed

- Other,
  indented.
- One
  in two lines.
""" + OLDER


@pytest.mark.parametrize(("name", "text", "why"), [
    ("a_surprise", "A.", "a.surprise.md"), ("a_fixed", " \n", "empty"), (None, "", "no fragment"),
])
def test_what_cannot_be_folded_is_told_and_nothing_is_touched(copy, capsys, name, text, why):
    if name is not None:
        write(copy, good_added="Good.", **{name: text})
    before = sorted(file.name for file in (copy / "changelog.d").iterdir())
    assert changelog.main(["0.2.0", "2026-12-01"], copy) == 1
    assert why in capsys.readouterr().err
    assert (copy / "CHANGELOG.md").read_text() == HEAD + changelog.NEXT + OLDER
    assert sorted(file.name for file in (copy / "changelog.d").iterdir()) == before


@pytest.mark.parametrize("arguments", [["0.2.0", "tomorrow"], ["0.2"], []])
def test_a_wrong_version_or_date_is_refused(copy, arguments):
    write(copy, good_added="Good.")
    assert changelog.main(arguments, copy) != 0
    assert len(list((copy / "changelog.d").iterdir())) == 1


def test_a_version_is_released_once(copy):
    write(copy, good_added="Good.")
    assert changelog.main(["0.2.0", "2026-12-01"], copy) == 0
    write(copy, more_added="More.")
    assert changelog.main(["0.2.0", "2026-12-02"], copy) == 1
