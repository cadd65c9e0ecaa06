"""The operations guide as somebody who follows it has it: its commands, run as they stand."""

import os
import re
import subprocess

from conftest import ROOT, binary


def commands(page, title, language="sh"):
    """The blocks of commands below a heading of a page in docs/operations/."""
    text = (ROOT / "docs" / "operations" / page).read_text(encoding="utf-8")
    level, below = re.search(rf"^(#+) {re.escape(title)}\n(.*)", text, re.DOTALL | re.MULTILINE).groups()
    section = re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)
    assert blocks, f"{page}: {title} has no commands"
    return blocks


def run(block, folder, environment=None):
    """Runs commands in this folder, and gives what they print; `antiphon` is the one that is tested."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    if not (programs / "antiphon").exists():
        (programs / "antiphon").symlink_to(binary("antiphon"))
    whole = {"HOME": str(folder), "PATH": os.environ["PATH"], **(environment or {})}
    whole["PATH"] = f"{programs}:{whole['PATH']}"
    done = subprocess.run(["sh", "-euc", block], cwd=folder, env=whole, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
