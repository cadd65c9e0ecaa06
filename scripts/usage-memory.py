#!/usr/bin/env python3
"""The memory of `antiphon admin` while a million prices come and go and a million records leave, on both databases.

    scripts/usage-memory.py [ROWS]    needs a few GiB below $TMPDIR for a while

ANTIPHON_BIN and DASHBOARD_BIN name programs that are built already: the server and the example that fills a year. What
is told is the most resident memory at any moment of each piece of work, which the kernel counts anew for each.
"""

import base64
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parent.parent
PASSWORD = "correct horse battery staple"
MOST_MIB = 100
CHUNK = 1 << 16
MODELS = 250_000
HEADER = "provider,model,operation,unit,price_usd,minimum_ms,rounding_ms,effective_from,source,read_on\n"


def built(variable: str, *what: str) -> str:
    if variable in os.environ:
        return os.environ[variable]
    subprocess.run(["cargo", "build", "--quiet", "--locked", "--release", *what], cwd=ROOT, check=True)
    target = subprocess.run([ROOT / "scripts/target-dir.sh"], capture_output=True, text=True, check=True).stdout.strip()
    return f"{target}/release/" + ("examples/" if "--example" in what else "") + what[-1]


class Admin:
    """A server on a database of its own, that is watched."""

    def __init__(self, program: str, folder: pathlib.Path, database: str) -> None:
        self.folder = folder
        binds = 'admin: { bind: "127.0.0.1:0" }, gateway: { bind: "127.0.0.1:0" }, metrics: { bind: "127.0.0.1:0" }'
        (folder / "antiphon.yaml").write_text(
            f'database: {{ url: "{database}" }}\nserver: {{ data_dir: data, {binds} }}\ntelemetry: {{ format: json }}\n'
        )
        first = {"ANTIPHON_ADMIN_EMAIL": "admin@localhost", "ANTIPHON_ADMIN_PASSWORD": PASSWORD}
        # PostgreSQL's data is not for one machine, so no key is made for it.
        self.environment = os.environ | first | {"ANTIPHON_SECRETS__MASTER_KEY": base64.b64encode(bytes(32)).decode()}
        self.program = program
        self.log = (folder / "log").open("w+")
        command = [program, "admin", "--config", "antiphon.yaml"]
        self.process = subprocess.Popen(command, cwd=folder, stdout=self.log, stderr=self.log, env=self.environment)
        self.address = self._address()
        body = json.dumps({"email": "admin@localhost", "password": PASSWORD})
        answer = json.loads(self.ask("POST", "/api/v1/auth/login", body, "application/json").read())
        self.token = answer["access_token"]

    def _address(self) -> str:
        for _ in range(600):
            found = re.search(r"Antiphon's admin plane: http://(\S+)", (self.folder / "log").read_text())
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        sys.exit(f"the server did not start: {(self.folder / 'log').read_text()}")

    def ask(self, method: str, path: str, body=None, kind: str = "text/csv", accept: str = "*/*"):
        connection = http.client.HTTPConnection(self.address, timeout=600)
        headers = {"content-type": kind, "accept": accept}
        if hasattr(self, "token"):
            headers["authorization"] = f"Bearer {self.token}"
        connection.request(method, path, body, headers, encode_chunked=body is not None and not isinstance(body, str))
        answer = connection.getresponse()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {answer.read().decode()}")
        return answer

    def mib(self, what: str) -> float:
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))

    def watched(self, work) -> tuple[int, float, float]:
        """What `work` counted, the most MiB while it ran, and its seconds."""
        time.sleep(3)
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        begun = time.monotonic()
        counted = work()
        return counted, self.mib("VmHWM"), time.monotonic() - begun

    def imported(self, rows: int) -> int:
        """Sends prices as they are made, and returns how many lines tell of progress."""

        def sheet():
            yield HEADER.encode()
            for first in range(0, rows, 1000):
                lines = (
                    f"openai,model-{row % MODELS},speech,million_characters,{row % 97 + 1}.5,0,0,"
                    f"{2030 + row // MODELS}-01-01T00:00:00Z,https://example.com/prices,2026-11-22\n"
                    for row in range(first, min(first + 1000, rows))
                )
                yield "".join(lines).encode()

        answer = self.ask("POST", "/api/v1/prices/import", sheet(), accept="application/x-ndjson")
        lines = answer.read().decode().splitlines()
        report = json.loads(lines[-1]).get("report", {})
        if report.get("inserted") != rows or not report.get("applied"):
            sys.exit(f"not all prices came in: {lines[-1]}")
        return len(lines) - 1

    def exported(self, collection: str) -> int:
        answer, lines = self.ask("GET", f"/api/v1/{collection}/export?format=csv"), 0
        while piece := answer.read(CHUNK):
            lines += piece.count(b"\n")
        return lines

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


    def commanded(self, records: int) -> tuple[int, float, float]:
        """The same of `antiphon usage export`, a program of its own, to a file."""
        command = [self.program, "usage", "export", "--config", "antiphon.yaml"]
        begun = time.monotonic()
        with (self.folder / "usage.csv").open("wb") as sheet:
            quiet = {"stdout": sheet, "stderr": subprocess.DEVNULL}
            child = subprocess.Popen(command, cwd=self.folder, env=self.environment, **quiet)
            _, status, used = os.wait4(child.pid, 0)
        if status != 0:
            sys.exit(f"antiphon usage export ended with {status}")
        with (self.folder / "usage.csv").open("rb") as sheet:
            lines = sum(1 for _ in sheet)
        return expect(lines, records + 1), used.ru_maxrss / 1024, time.monotonic() - begun

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(60)


def expect(lines: int, least: int) -> int:
    if lines < least:
        sys.exit(f"{lines} lines came out, at least {least} should have")
    return lines


def measure(program: str, filler: str, name: str, database: str, rows: int) -> list[str]:
    """Lines of a table; what goes beyond the bound ends in ` !`."""
    records = rows // 365 * 365
    subprocess.run([filler, database, str(rows)], stdout=subprocess.DEVNULL, check=True)
    with tempfile.TemporaryDirectory() as folder:
        admin = Admin(program, pathlib.Path(folder), database)
        try:
            time.sleep(5)
            told = [f"| {name}, idle | {admin.mib('VmRSS'):.0f} MiB | | |"]
            for what, work in (
                (f"import of {rows:,} prices, lines of progress", lambda: admin.imported(rows)),
                ("export of prices, lines", lambda: expect(admin.exported("prices"), rows + 1)),
                ("export of usage, lines", lambda: expect(admin.exported("usage"), records + 1)),
            ):
                counted, most, seconds = admin.watched(work)
                beyond = " !" if most >= MOST_MIB else ""
                told.append(f"| {name}, {what} | {most:.0f} MiB{beyond} | {counted:,} | {seconds:.1f} s |")
            counted, most, seconds = admin.commanded(records)
            told.append(f"| {name}, `antiphon usage export`, lines | {most:.0f} MiB | {counted:,} | {seconds:.1f} s |")
        finally:
            admin.stop()
    return told


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    program = built("ANTIPHON_BIN", "-p", "antiphon")
    filler = built("DASHBOARD_BIN", "-p", "usage-store", "--example", "dashboard")
    with tempfile.TemporaryDirectory() as folder:
        told = measure(program, filler, "SQLite", f"sqlite://{folder}/year.db?mode=rwc", rows)
    print(*told, sep="\n", flush=True)
    servers = ROOT / "scripts/postgres-for-tests.sh"
    settings = subprocess.run([servers, "start"], capture_output=True, text=True, check=True).stdout
    server = dict(re.findall(r"export (\w+)=(\S+)", settings))
    try:
        url = server["ANTIPHON_TEST_POSTGRES_URL"]
        more = measure(program, filler, "PostgreSQL", url, rows)
    finally:
        subprocess.run([servers, "stop", server["ANTIPHON_TEST_POSTGRES_DIR"]], check=True)
    print(*more, sep="\n")
    sys.exit(any(" !" in line for line in told + more))


if __name__ == "__main__":
    main()
