"""Renders the chart with Helm's own engine, without a cluster."""

import copy
import functools
import shutil
import sys

import pytest
import yaml
from helm_python.chart import Chart

import programs
from programs import ROOT

CHART = ROOT / "charts" / "antiphon"
VALUES = ROOT / "tests" / "chart" / "values"
CASES = sorted(file.stem for file in VALUES.glob("*.yaml"))
RELEASE, NAMESPACE = "demo", "voice"
# Written in C where that is there; the tests read some megabytes.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

sys.path.insert(0, str(ROOT / "scripts"))


def load(text):
    return yaml.load(text, Loader=LOADER)


@functools.cache
def chart():
    return Chart.load(CHART)


def example(name):
    """The values of a file in tests/chart/values."""
    return load((VALUES / f"{name}.yaml").read_text())


def overlaid(values, more):
    """`values` with what `more` says differently; sections are merged, as Helm does it."""
    merged = copy.deepcopy(values)
    for key, value in more.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = overlaid(merged[key], value) if both else value
    return merged


class Rendered:
    """What Helm would send to a cluster."""

    def __init__(self, values):
        self.texts = chart().render(values, name=RELEASE, namespace=NAMESPACE)
        self.notes = self.texts.pop("antiphon/templates/NOTES.txt")
        self.objects = []
        for text in self.texts.values():
            self.objects += [item for item in yaml.load_all(text, Loader=LOADER) if item]

    def find(self, kind, name=None):
        """The one object of this kind, whose name ends so."""
        found = self.all(kind, name)
        assert len(found) == 1, f"{kind} {name}: {[item['metadata']['name'] for item in found]}"
        return found[0]

    def all(self, kind, name=None):
        named = (item for item in self.objects if item["kind"] == kind)
        return [item for item in named if name is None or item["metadata"]["name"].endswith(f"-{name}")]

    def gateway(self):
        """The workload that serves the data plane."""
        return next(item for item in self.objects
                    if item["kind"] in ("Deployment", "StatefulSet") and component(item) == "gateway")

    def config(self):
        """The file that both planes read."""
        maps = [item for item in self.all("ConfigMap") if "antiphon.yaml" in item["data"]]
        assert len(maps) == 1
        return maps[0]["data"]["antiphon.yaml"]

    def pods(self):
        """Every pod template, with the name of what makes it."""
        found = []
        for item in self.objects:
            name = f"{item['kind']} {item['metadata']['name']}"
            if item["kind"] == "Pod":
                found.append((name, item))
            elif item["kind"] in ("Deployment", "StatefulSet", "Job"):
                found.append((name, item["spec"]["template"]))
        return found


def component(item):
    return item["metadata"]["labels"]["app.kubernetes.io/component"]


@functools.cache
def rendered_example(name):
    return Rendered(example(name))


@pytest.fixture(params=CASES)
def case(request):
    """Each example, rendered."""
    return rendered_example(request.param)


@pytest.fixture(scope="session")
def antiphon():
    """The real binary."""
    return programs.binary("antiphon")


def seconds(duration):
    """Seconds of a duration as the configuration writes it."""
    units = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
    unit = duration.lstrip("0123456789")
    return int(duration.removesuffix(unit)) * units[unit]


def prometheus_program(name):
    """`prometheus` or `promtool`, where they are present."""
    beside = ROOT / ".venv" / "chart" / "bin" / name
    found = beside if beside.exists() else shutil.which(name)
    return found or pytest.skip(f"{name} is not here (Debian: prometheus)")
