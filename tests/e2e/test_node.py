"""Runs the tests of the official SDK for Node against the same gateway."""

import os
import pathlib
import re
import subprocess

import conftest

NODE = pathlib.Path(__file__).parent / "node"


def test_node_sdk(gateway, tone, tmp_path):
    assert (NODE / "node_modules").is_dir(), f"npm ci --prefix {NODE}"
    (tmp_path / "tone.wav").write_bytes(tone[1])
    environment = {
        "PATH": os.environ["PATH"],
        "ANTIPHON_URL": f"{gateway.url}/v1",
        "ANTIPHON_KEY": conftest.KEY,
        "ANTIPHON_TONE": str(tmp_path / "tone.wav"),
    }
    run = subprocess.run(
        ["node", "--test", "--test-reporter=spec"], cwd=NODE, env=environment, capture_output=True, text=True, timeout=150
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout + run.stderr
    # A run that finds no tests, or skips them, ends with 0 too.
    count = len(re.findall(r"^test\(", (NODE / "openai.test.mjs").read_text(), re.MULTILINE))
    assert count > 0 and re.search(rf"^\S+ pass {count}$", run.stdout, re.MULTILINE), run.stdout
