"""What is published is what one build has made, and two builds that are compared have nothing in common."""

import os
import pathlib
import shutil
import subprocess

import pytest

from programs import ROOT

SCRIPTS = ["scripts/target-dir.sh", "scripts/release/build.sh", "scripts/release/same.sh"]
# In the place of what compiles for an hour. cargo obeys its own variable before that of its configuration.
STAND_INS = {
    "bin/cargo": """#!/bin/sh
case $1 in
metadata) echo "{\\"target_directory\\":\\"${CARGO_TARGET_DIR:-${CARGO_BUILD_TARGET_DIR:-$PWD/target}}\\"}" ;;
build)
    while [ "$1" != --target-dir ]; do shift; done
    mkdir -p "$2/release"
    echo program | tee "$2/release/antiphon" >"$2/release/loadtest"
    echo "$2" >>"$BUILDS"
    ;;
esac
""",
    "bin/strip": """#!/bin/sh
cp "$4" "$3"
""",
    "tree/.venv/release/bin/python": """#!/bin/sh
echo bill >"$2"
""",
    "tree/scripts/release/licences.py": """import pathlib, sys
pathlib.Path(sys.argv[1]).write_text("terms")
""",
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a script of releases in a tree of its own; gives what it said, its code, and where cargo was to build."""
    for script in SCRIPTS:
        (tmp_path / "tree" / script).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / script, tmp_path / "tree" / script)
    for file, text in STAND_INS.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
        (tmp_path / file).chmod(0o755)
    builds = tmp_path / "builds"
    builds.touch()
    monkeypatch.delenv("CARGO_TARGET_DIR", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("BUILDS", str(builds))

    def call(script, *arguments):
        command = [tmp_path / "tree" / script, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done, [pathlib.Path(line) for line in builds.read_text().splitlines()]

    return call


def names(folder):
    return {file.name for file in folder.iterdir()}


def test_the_sums_are_of_what_this_build_has_made(run, tmp_path):
    folder = tmp_path / "dist"
    made = {"antiphon", "antiphon.cdx.json", "THIRD-PARTY.txt"}
    for _ in range(2):
        done, _ = run("scripts/release/build.sh", folder)
        assert done.returncode == 0, done.stderr
        assert names(folder) == made | {"SHA256SUMS"}
        assert {line.split()[1] for line in (folder / "SHA256SUMS").read_text().splitlines()} == made
        subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
        # Of an earlier release.
        (folder / "antiphon").write_text("old")


@pytest.mark.parametrize(("package", "other"), [
    ("antiphon", "antiphon-0.0.9.tgz"), ("antiphon", ".hidden"), ("loadtest", "antiphon"),
])
def test_what_it_does_not_make_stops_it_and_stays(run, tmp_path, package, other):
    folder = tmp_path / "dist"
    folder.mkdir()
    for file in (package, other):
        (folder / file).write_text("mine")
    done, builds = run("scripts/release/build.sh", folder, package)
    assert done.returncode != 0 and str(folder / other) in done.stderr
    assert names(folder) == {package, other} and (folder / package).read_text() == "mine"
    assert builds == []


@pytest.mark.parametrize("variable", ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"])
def test_builds_that_are_compared_are_in_folders_of_their_own(run, tmp_path, monkeypatch, variable):
    if shutil.which("git") is None:
        pytest.skip("git is not here")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "--quiet"], ["add", "scripts"], [*who, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *command], cwd=tmp_path / "tree", check=True)
    monkeypatch.setenv(variable, str(tmp_path / "shared"))
    done, builds = run("scripts/release/same.sh")
    assert done.returncode == 0 and "same: both builds" in done.stdout, done.stderr
    assert len(set(builds)) == 2 and not any(folder.is_relative_to(tmp_path / "shared") for folder in builds)
