"""One version for everything, and a program that tells truly what it is built from."""

import os
import re
import shutil
import subprocess
import tomllib

import pytest

import version
from programs import ROOT

FOLLOWERS = sorted({file for file, _ in version.FOLLOWERS})


@pytest.fixture
def copy(tmp_path):
    """The files that have a version."""
    manifests = [f"{member}/Cargo.toml" for member in version.members(ROOT)]
    for file in ["Cargo.toml", *version.LOCKS, *FOLLOWERS, *manifests]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def test_everything_has_the_version_of_the_workspace(binary):
    assert version.problems() == []
    told = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(rf"antiphon {re.escape(version.current())}( \(.+\))?\n", told)


def test_no_guide_names_one():
    """It would be another after the next release. What has to name it follows."""
    files = [ROOT / "README.md", ROOT / "docker-compose.yml"]
    files += [file for folder in ("docs", "charts", "deploy") for file in (ROOT / folder).rglob("*") if file.is_file()]
    for file in files:
        if str(file.relative_to(ROOT)) not in FOLLOWERS:
            assert re.findall(r"antiphon[:@ -]v?\d+\.\d+\.\d+", file.read_text(errors="ignore")) == [], file


def test_what_guides_and_scripts_call_can_be_called():
    files = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    files += [file for file in (ROOT / "scripts").rglob("*") if file.suffix in (".sh", ".py")]
    for file in files:
        for called in re.findall(r"^(?:#? {2,4})?(scripts/\S+\.(?:py|sh)) ", file.read_text(), flags=re.M):
            assert os.access(ROOT / called, os.X_OK), f"{file}: {called}"


@pytest.mark.parametrize("file", [*FOLLOWERS, *version.LOCKS, "Cargo.toml", "gateway/Cargo.toml"])
def test_one_that_does_not_follow_is_told(copy, file):
    text = (copy / file).read_text()
    changed = text.replace("version.workspace = true", 'version = "9.9.9"')
    changed = re.sub(r"(?im)^((?:arg |app)?version ?[:=] ?\"?)\d+\.\d+\.\d+", r"\g<1>9.9.9", changed)
    assert changed != text
    (copy / file).write_text(changed)
    assert version.problems(copy) != []


def test_a_new_one_is_set_everywhere(copy):
    version.change("1.20.3-rc.1", copy)
    assert version.current(copy) == "1.20.3-rc.1" and version.problems(copy) == []
    assert 'appVersion: "1.20.3-rc.1"' in (copy / "charts" / "antiphon" / "Chart.yaml").read_text()
    # What others have the same number stays, and so do the fuzz targets, which are not released.
    for lock, ours in (("Cargo.lock", version.members(ROOT)), ("fuzz/Cargo.lock", ["audio", "dialects", "domain"])):
        before, after = (tomllib.loads((place / lock).read_text())["package"] for place in (ROOT, copy))
        changed = {one["name"]: one["version"] for one in after if one not in before}
        assert changed == dict.fromkeys(ours, "1.20.3-rc.1") and len(before) == len(after)


def test_the_image_tells_its_version_and_commit():
    last = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.M)[-1]
    arguments, labels = last.split("LABEL ")
    assert {"ARG VERSION", "ARG COMMIT"} <= set(arguments.splitlines())
    assert 'org.opencontainers.image.version="$VERSION"' in labels
    assert 'org.opencontainers.image.revision="$COMMIT"' in labels


@pytest.fixture(scope="module")
def asks(tmp_path_factory):
    """What the program's build script says, run as cargo does; `folder` has a workspace."""
    program = tmp_path_factory.mktemp("build") / "script"
    subprocess.run(["rustc", "--edition", "2024", "-o", program, ROOT / "antiphon" / "build.rs"], check=True)

    def ask(folder, profile="release", **more):
        # What is around must not be taken for the workspace's own.
        variables = {"PATH": os.environ["PATH"], "CARGO_PKG_VERSION": "1.2.3", "PROFILE": profile,
                     "CARGO_MANIFEST_DIR": str(folder / "antiphon"), **more}
        said = subprocess.run([program], env=variables, capture_output=True, text=True, check=True).stdout
        watched = re.findall(r"^cargo::rerun-if-changed=(.*)$", said, flags=re.M)
        return re.search(r"^cargo::rustc-env=ANTIPHON_VERSION=(.*)$", said, flags=re.M)[1], watched

    return ask


@pytest.fixture
def sources(tmp_path):
    """A workspace as a tarball has it."""
    (tmp_path / "tree" / "antiphon" / "src").mkdir(parents=True)
    for file in ("Cargo.toml", "antiphon/Cargo.toml", "antiphon/src/main.rs", "README.md"):
        (tmp_path / "tree" / file).write_text("")
    return tmp_path / "tree"


def commit(folder):
    if shutil.which("git") is None:
        pytest.skip("git is not here")
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True)
    return head.stdout[:12]


def test_a_release_build_names_its_commit_and_whether_files_differ(asks, sources):
    head = commit(sources)
    told, watched = asks(sources)
    assert told == f"1.2.3 ({head})"
    # The next commit, and a change of what it is made of, are seen.
    assert any(path.endswith("logs/HEAD") for path in watched) and str(sources / "antiphon" / "src") in watched
    (sources / "antiphon" / "src" / "main.rs").write_text("fn main() {}")
    assert asks(sources)[0] == f"1.2.3 ({head}-dirty)"


def test_a_debug_build_is_not_made_anew_for_a_commit(asks, sources):
    commit(sources)
    assert asks(sources, "debug") == ("1.2.3 (debug build)", ["build.rs"])


def test_a_tarball_names_no_commit_and_not_that_of_what_is_around(asks, sources):
    assert asks(sources)[0] == "1.2.3"
    commit(sources.parent)
    assert asks(sources)[0] == "1.2.3"


def test_without_git_and_without_a_commit_nothing_is_told(asks, sources):
    assert asks(sources, PATH="")[0] == "1.2.3"
    if shutil.which("git"):
        subprocess.run(["git", "init", "--quiet"], cwd=sources, check=True)
    assert asks(sources)[0] == "1.2.3"


def test_the_image_s_build_is_told_its_commit(asks, sources):
    assert asks(sources, ANTIPHON_COMMIT="1a2b3c4d5e6f")[0] == "1.2.3 (1a2b3c4d5e6f)"
    assert asks(sources, ANTIPHON_COMMIT="")[0] == "1.2.3"
