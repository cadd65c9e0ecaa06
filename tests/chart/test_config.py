"""The real binary takes the configuration that the chart writes."""

import os
import re
import subprocess

import pytest

from conftest import CASES, Rendered, example, load, overlaid, rendered_example

PLACEHOLDER = re.compile(r"\$\{([A-Z0-9_]+)")


def environment(case):
    """What pods have: the Secrets that the chart makes, and something for every variable that one's own would have."""
    variables = {"ANTIPHON_SECRETS__MASTER_KEY": "bm90LWEtc2VjcmV0LWJ1dC1vZi10aGlydHktdHdvLWI="}
    if not load(case.config()).get("database"):
        variables["ANTIPHON_DATABASE__URL"] = "postgres://antiphon:example@postgresql.example.com/antiphon"
    if load(case.config()).get("redis") is not None:
        variables["ANTIPHON_REDIS__URL"] = "redis://redis.example.com:6379"
    variables |= {name: f"example-value-of-{name.lower()}" for name in PLACEHOLDER.findall(case.config())}
    for secret in case.all("Secret"):
        variables |= secret["stringData"]
    return variables


def check(antiphon, case, folder):
    file = folder / "antiphon.yaml"
    file.write_text(case.config())
    variables = {"PATH": os.environ["PATH"], **environment(case)}
    command = [antiphon, "config", "check", file, "--json"]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", CASES)
def test_the_gateway_takes_its_configuration(antiphon, tmp_path, name):
    done = check(antiphon, rendered_example(name), tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_the_values_say_is_what_the_gateway_reads(antiphon, tmp_path):
    told = load(check(antiphon, rendered_example("production"), tmp_path).stdout)
    assert {"openai", "azure"} <= set(told["providers"])
    assert (told["models"], told["tenants"], told["keys"]) == (["voice"], ["acme"], 1)


def test_numbers_stay_whole_however_large(antiphon, tmp_path):
    """Helm reads numbers as floating point; 1e+06 would be no number of sessions."""
    case = Rendered(overlaid(example("minimal"), {"config": {"limits": {"max_sessions": 123456789}}}))
    assert "max_sessions: 123456789\n" in case.config()
    assert check(antiphon, case, tmp_path).returncode == 0


def test_what_only_the_gateway_can_judge_is_refused_by_it(antiphon, tmp_path):
    """So that the checks above mean something."""
    case = Rendered(overlaid(example("minimal"), {"config": {"limits": {"most_sessions": 1}}}))
    done = check(antiphon, case, tmp_path)
    assert done.returncode != 0
    assert "most_sessions" in done.stderr


@pytest.mark.parametrize("command", ["gateway", "admin", "serve", "migrate"])
def test_the_commands_that_pods_run_exist(antiphon, command):
    done = subprocess.run([antiphon, command, "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert "--config" in done.stdout or command == "migrate"
