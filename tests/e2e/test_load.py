"""The load suite's own commands, each for some seconds, with the real gateway: what they write and how they judge."""

import json
import subprocess

import pytest

from conftest import binary

# Everything of the soak in little: faults, clients that hang up, sessions that are opened anew.
LITTLE = """
name: little
about: Some seconds of everything.
upstream:
  profile: instant
  faults:
    speech: { status: { 500: 0.02, 503: 0.02 }, slow: 0.02, slow_ms: 100, cut: 0.05 }
    transcription: { status: { 503: 0.05 } }
    realtime: { close: 0.2 }
warm_up: 1s
traffic:
  arrivals: random
  operations:
    speech: { weight: 5, kib: 96 }
    speech_events: { weight: 2, kib: 96 }
    transcription: { weight: 4, seconds: 2 }
    conversation: { weight: 2, turns: 2, speaks: 100ms }
  phases: [{ for: 4s, at: 20 }]
  hang_ups: 0.05
sessions: { held: 5, open_over: 1s, frame_every: 100ms, lives: 2s }
"""


@pytest.fixture
def run(tmp_path):
    def run(*arguments):
        """What was said, and the results and the page that were written."""
        command = [binary("loadtest"), *arguments, "--antiphon", binary("antiphon"), "--out", tmp_path / "out"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=150)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        (results,) = (tmp_path / "out").glob("*.json")
        return ended.stdout, json.loads(results.read_text()), results.with_suffix(".html").read_text()

    return run


def test_a_soak_judges_what_is_left(run, tmp_path):
    scenario = tmp_path / "little.yaml"
    scenario.write_text(LITTLE)
    said, results, page = run("soak", scenario)
    verdicts = {verdict["name"]: verdict["holds"] for verdict in results["verdicts"]}
    # Seconds tell nothing of memory.
    assert verdicts.pop("memory") is None
    assert {"descriptors", "usage of tts-1", "usage of gpt-4o-mini-tts", "usage of whisper-1"} < verdicts.keys()
    assert "usage of gpt-realtime" in verdicts and all(verdicts.values()), said
    (run_of_it,) = results["runs"]
    assert run_of_it["faults"] and run_of_it["operations"]["frame"]["done"] > 0
    assert "Verdict" in page and "usage of tts-1" in page


def test_a_comparison_has_every_target_in_every_round(run):
    said, results, page = run("compare", "smoke", "--rounds", "2", "--minutes", "0.03")
    measured = [(one["round"], one["target"]) for one in results["runs"]]
    targets = {"direct", "antiphon"} | (set() if results.get("left_out") else {"nginx"})
    assert set(measured) == {(turn, target) for turn in (1, 2) for target in targets}, said
    assert measured[0][1] != measured[len(targets)][1], "rounds begin with another"
    for one in results["runs"]:
        operations = one["operations"]
        assert all(operations[name]["done"] > 0 for name in ("speech", "transcription", "frame")), said
        assert not any(operation["errors"] for operation in operations.values()), operations
    assert "added, p50" in page and page.count("<svg") > 6
