"""Runs the tests of the official SDK for Node against the same gateway."""

import os
import pathlib
import re
import subprocess

import conftest

NODE = pathlib.Path(__file__).parent / "node"


def run_node(file, gateway, key, **told):
    """Runs the tests of one file, all of which have to pass."""
    assert (NODE / "node_modules").is_dir(), f"npm ci --prefix {NODE}"
    environment = {"PATH": os.environ["PATH"], "ANTIPHON_URL": gateway.url, "ANTIPHON_KEY": key, **told}
    command = ["node", "--test", "--test-reporter=spec", file]
    run = subprocess.run(command, cwd=NODE, env=environment, capture_output=True, text=True, timeout=150)
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    # A run that finds no tests, or skips them, ends with 0 too.
    count = len(re.findall(r"^test\(", (NODE / file).read_text(), re.MULTILINE))
    passed = re.search(r"^\S+ pass (\d+)$", run.stdout, re.MULTILINE)
    # A test may have parts, which count as well.
    assert count > 0 and passed and int(passed[1]) >= count and "skipped 0" in run.stdout, run.stdout


def test_node_sdk(gateway, tone, tmp_path):
    (tmp_path / "tone.wav").write_bytes(tone[1])
    run_node("openai.test.mjs", gateway, conftest.KEY, ANTIPHON_TONE=str(tmp_path / "tone.wav"))
