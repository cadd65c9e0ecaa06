"""The crates of what is shipped: the program, and the dashboard that it has inside.

cargo's own resolver is asked for both, each with its target and features, for `cargo metadata` alone lists what no
feature asks for as well.
"""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
WEB_TARGET = "wasm32-unknown-unknown"
# Needed by a build script alone, which puts what it brings into the program.
CARRIED = {"utoipa-swagger-ui-vendored"}
# Of xtask's own workspace: their JavaScript is in the dashboard's bundle.
BUNDLED = {"wasm-bindgen-cli-support", "wasm_split_cli_support"}


@dataclasses.dataclass
class Crate:
    name: str
    version: str
    # A part of what is shipped; else it only makes it, as a derive or what compiles C does.
    inside: bool
    parts: set = dataclasses.field(default_factory=set)
    needs: set = dataclasses.field(default_factory=set)
    facts: dict = dataclasses.field(default_factory=dict)
    checksum: str = ""

    @property
    def ours(self):
        return self.facts["source"] is None

    @property
    def folder(self):
        return pathlib.Path(self.facts["manifest_path"]).parent

    @property
    def licence(self):
        """As SPDX writes it; older manifests have a slash."""
        return (self.facts["license"] or "").replace("/", " OR ").replace("  ", " ")


def cargo(*arguments):
    command = [os.environ.get("CARGO", "cargo"), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"cargo {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@functools.cache
def host():
    told = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    return next(line.removeprefix("host: ") for line in told.splitlines() if line.startswith("host: "))


def tree(package, target, edges):
    """(name, version) of each crate with those that it needs itself."""
    lines = cargo("tree", "--locked", "--quiet", "-p", package, "--target", target, "--edges", edges,
                  "--prefix", "depth", "--format", "{p}").splitlines()
    found, above = {}, []
    for line in filter(None, lines):
        digits = len(line) - len(line.lstrip("0123456789"))
        depth, (name, version) = int(line[:digits]), line[digits:].split()[:2]
        crate = (name, version.removeprefix("v"))
        found.setdefault(crate, set())
        if depth > 0:
            found[above[depth - 1]].add(crate)
        above[depth:] = [crate]
    return found


def shipped(target=None):
    """Every crate of the dashboard and of the program for `target`, this machine's unless told, by name and version."""
    parts = {"antiphon": target or host(), "web-ui": WEB_TARGET}
    crates = {}
    for package, triple in parts.items():
        inside = tree(package, triple, "normal,no-proc-macro")
        for (name, version), needs in tree(package, triple, "normal,build").items():
            crate = crates.setdefault((name, version), Crate(name, version, False))
            crate.inside |= (name, version) in inside or name in CARRIED
            crate.parts.add(package)
            crate.needs |= needs
    add_facts(crates, ".")
    bundled = bundle()
    # The program has the dashboard inside, and the dashboard what binds it to the browser, which no manifest says.
    version = workspace_version()
    crates["antiphon", version].needs.add(("web-ui", version))
    crates["web-ui", version].needs.update(bundled)
    return dict(sorted((crates | bundled).items()))


def bundle():
    """The crates of xtask that put something of their own into the bundle."""
    locked = tomllib.loads((ROOT / "xtask" / "Cargo.lock").read_text())["package"]
    crates = {(one["name"], one["version"]): Crate(one["name"], one["version"], True, parts={"web-ui"})
              for one in locked if one["name"] in BUNDLED}
    if missing := BUNDLED - {name for name, _ in crates}:
        raise SystemExit(f"xtask/Cargo.lock does not have {', '.join(sorted(missing))}: what makes the bundle now?")
    add_facts(crates, "xtask")
    return crates


def add_facts(crates, folder):
    """What the manifests and the lock file of a workspace tell. cargo fetches sources that are not here, or fails."""
    manifest = f"{folder}/Cargo.toml"
    told = cargo("metadata", "--locked", "--quiet", "--manifest-path", manifest, "--format-version", "1")
    for facts in json.loads(told)["packages"]:
        if (crate := crates.get((facts["name"], facts["version"]))) is not None:
            crate.facts = facts
    for locked in tomllib.loads((ROOT / folder / "Cargo.lock").read_text())["package"]:
        if (crate := crates.get((locked["name"], locked["version"]))) is not None:
            crate.checksum = locked.get("checksum", "")


def workspace_version():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
