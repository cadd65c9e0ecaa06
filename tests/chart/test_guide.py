"""The operations guide names nothing that is not there: commands, flags, values, settings, files, links and alerts."""

import functools
import re
import subprocess

import pytest

from conftest import CHART, ROOT, Rendered, example, load, overlaid

FOLDER = ROOT / "docs" / "operations"
PAGES = sorted(FOLDER.glob("*.md"))
NAMES = [page.name for page in PAGES]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
# A path whose first part is a file or folder of this repository.
FILE = re.compile(r"(?<![\w/.:-])((?:admin|charts|changelog\.d|deploy|docs|gateway|replicas|scripts|tests)/[\w./-]*|[A-Z]+\.md)(?:::(\w+))?")
# A setting or value: words with dots between them.
SETTING = re.compile(r"[a-z_]\w*(?:\.\w+)+")


def text(name):
    return (FOLDER / name).read_text(encoding="utf-8")


def blocks(name, language):
    """Blocks of code, with lines that go on put together."""
    return [block.replace("\\\n", " ") for kind, block in BLOCK.findall(text(name)) if kind == language]


def spans(name):
    """What stands between backticks in a page's text."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", BLOCK.sub("", text(name)))]


def lines(name, program):
    """Command lines of a program, in blocks and in the text."""
    found = [line.strip() for block in blocks(name, "sh") for line in block.splitlines()]
    return [line for line in [*found, *spans(name)] if re.match(rf"{program}\b(?![-_.])", line)]


@functools.cache
def help_of(program, *words):
    done = subprocess.run([program, *words, "--help"], capture_output=True, text=True, check=False, timeout=60)
    return done.stdout if done.returncode == 0 else None


def subcommands(told):
    part = told.split("Commands:\n", 1)[1].split("\n\n", 1)[0] if "Commands:\n" in told else ""
    return set(re.findall(r"^  (\S+)", part, re.MULTILINE)) - {"help"}


def problem(program, line):
    """What is wrong with a command line, in words."""
    words = re.sub(r"(\s+#|\s+[>|&]).*", "", line).split()[1:]
    path = []
    while words and words[0] in subcommands(help_of(program, *path)):
        path.append(words.pop(0))
    told = help_of(program, *path)
    flags = {word.split("=")[0] for word in words if word.startswith("-")}
    if unknown := {flag for flag in flags if not re.search(rf"(?<![\w-]){flag}(?![\w-])", told)}:
        return f"{line}: there is no {' '.join(unknown)}"
    if subcommands(told) and words and not words[0].startswith("-"):
        return f"{line}: there is no {words[0]}"
    if subcommands(told) and path and not words:
        return f"{line}: which of {subcommands(told)}?"
    return None


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_flag_exists(antiphon, name):
    wrong = [problem(antiphon, line) for line in lines(name, "antiphon")]
    assert [found for found in wrong if found] == []


def test_a_command_that_does_not_exist_is_found(antiphon):
    assert problem(antiphon, "antiphon backup now") == "antiphon backup now: there is no backup"
    assert problem(antiphon, "antiphon audit verify --deep") == "antiphon audit verify --deep: there is no --deep"
    assert problem(antiphon, "antiphon key rotate ID") == "antiphon key rotate ID: there is no rotate"
    assert problem(antiphon, "antiphon audit verify --json") is None
    assert sum(len(lines(name, "antiphon")) for name in NAMES) > 20


def test_flags_of_the_load_suite_exist():
    source = (ROOT / "loadtest" / "src" / "main.rs").read_text(encoding="utf-8")
    found = {flag for name in NAMES for line in lines(name, "loadtest") for flag in re.findall(r"--([\w-]+)", line)}
    assert found and {flag for flag in found if not re.search(rf"\b{flag.replace('-', '_')}: ", source)} == set()


def test_targets_of_make_exist():
    phony = re.search(r"^\.PHONY: (.*)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE).group(1).split()
    named = {line.split()[1] for name in NAMES for line in lines(name, "make")}
    assert named and named <= set(phony)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_and_test_that_is_named_exists(name):
    for path, test in FILE.findall(text(name)):
        file = ROOT / path.rstrip(".")
        assert file.exists(), path
        assert not test or f"def {test}(" in file.read_text(encoding="utf-8"), f"{path} has no {test}"


def anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", BLOCK.sub("", text(name))):
        if "://" in target:
            continue
        path, _, place = target.partition("#")
        file = (FOLDER / path).resolve() if path else FOLDER / name
        assert file.is_file(), target
        headings = re.findall(r"^#+ (.*)", file.read_text(encoding="utf-8"), re.MULTILINE) if place else []
        assert not place or place in map(anchor, headings), target


def test_every_page_is_in_the_index():
    linked = set(re.findall(r"\]\((\w[\w-]*\.md)\)", text("README.md")))
    assert linked == set(NAMES) - {"README.md"}


def there_is(tree, parts):
    """Whether a setting stands in this tree. What a map holds that is empty in the sample is not known here."""
    for part in parts:
        if isinstance(tree, dict) and not tree:
            return True
        if not isinstance(tree, dict) or part not in tree:
            return False
        tree = tree[part]
    return True


@functools.cache
def trees():
    return load((CHART / "values.yaml").read_text()), load((ROOT / "antiphon.example.yaml").read_text())


def known(setting):
    parts = setting.split(".")
    values, config = trees()
    return there_is(values, parts) or there_is(config, parts) or (parts[0] == "config" and there_is(config, parts[1:]))


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_and_value_exists(name):
    values, config = trees()
    named = [found.group() for span in spans(name) if (found := SETTING.match(span))]
    assert [one for one in named if one.split(".")[0] in values.keys() | config.keys() and not known(one)] == []


def test_a_setting_that_does_not_exist_is_found():
    assert not known("timeouts.drains") and not known("gateway.replica") and not known("config.limits.session_age")
    assert known("config.timeouts.drain") and known("limits.session_idle") and known("gateway.resources.limits.memory")


def set_by(line):
    """The values that a command line of Helm sets."""
    values = {}
    for path, value in re.findall(r"--set (\S+?)=(\S+)", line):
        inner = load(value)
        for part in reversed(path.split(".")):
            inner = {part: inner}
        values = overlaid(values, inner)
    return values


@pytest.mark.parametrize("name", NAMES)
def test_the_chart_takes_what_is_set(name):
    for line in lines(name, "helm"):
        assert Rendered(overlaid(example("minimal"), set_by(line))).objects
    for block in blocks(name, "yaml"):
        assert Rendered(overlaid(example("minimal"), load(block))).objects


def test_commands_of_kubectl_and_compose_name_what_is_there():
    rendered = Rendered(example("minimal") | {"fullnameOverride": "antiphon"})
    workloads = {f"{item['kind'].lower()}/{item['metadata']['name']}" for item in rendered.objects}
    services = load((ROOT / "docker-compose.yml").read_text())["services"]
    told = "\n".join(line for name in NAMES for program in ("kubectl", "docker") for line in lines(name, program))
    named = set(re.findall(r"deployment/[\w-]+", told))
    assert named and named <= workloads
    assert {"gateway", "postgres"} <= services.keys() and re.search(r"exec -T postgres\b.*\n", told) and "--no-deps gateway" in told


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_that_is_named_exists(name):
    alerts = set(re.findall(r"alert: (\w+)", (CHART / "rules" / "antiphon.yaml").read_text()))
    assert set(re.findall(r"\bAntiphon[A-Z]\w+", text(name))) <= alerts
