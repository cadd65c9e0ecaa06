"""docs/faults.md names tests that exist, says which are long, and leaves out none that was written for it."""

import re

from conftest import ROOT

DOCUMENT = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([\w/.]+\.(?:rs|py))::(\w+)`( \(long\))?")
# A property is a test as well: its attribute stands within a macro, and is spelled alike.
RUST_TEST = r"#\[(?:tokio::|actix_web::)?test\b[^\n]*\n(?:\s*#\[[^\n]*\n)*\s*(?:async )?fn {name}\("
PYTHON_TEST = r"((?:^@[^\n]*\n)*)^def {name}\("


def problem(path, name, long):
    """What is wrong with what is said of a test."""
    file = ROOT / path
    if not file.is_file():
        return f"{path} is no file"
    pattern = RUST_TEST if path.endswith(".rs") else PYTHON_TEST
    found = re.search(pattern.replace("{name}", name), file.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        return f"{path} has no test {name}"
    is_long = path.endswith(".py") and "pytest.mark.long" in found.group(1)
    return None if is_long == bool(long) else f"{path}::{name} is{'' if is_long else ' not'} long"


def rows():
    """The rows of all tables, without their heads."""
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]
    return [line for line in lines if not line.startswith(("| fault |", "| --- |"))]


def test_each_test_that_is_named_exists_where_it_is_said_to_run():
    problems = [problem(*named) for named in NAMED.findall(DOCUMENT)]
    assert [found for found in problems if found] == []
    assert problem("gateway/tests/api/faults.rs", "nobody_wrote_this", "")
    assert problem("tests/e2e/test_faults_document.py", "problem_of_nobody", "")


def test_each_row_has_a_fault_a_promise_and_a_test():
    assert len(rows()) > 40
    for row in rows():
        fault, promise, tests = row.strip("| ").split(" | ")
        assert fault and promise and NAMED.sub("", tests).strip() == "" and NAMED.search(tests), row


def test_no_test_of_faults_is_left_out():
    named = {(path, name) for path, name, _ in NAMED.findall(DOCUMENT)}
    for file in (ROOT / "tests" / "e2e").glob("test_faults_*.py"):
        if file.name != "test_faults_document.py":
            path = str(file.relative_to(ROOT))
            written = re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert written and {(path, name) for name in written} <= named, path
