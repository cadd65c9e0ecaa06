"""Alert rules and dashboards: they ask for metrics that the planes have, and every alert has its runbook."""

import functools
import json
import pathlib
import re
import subprocess

import promql_parser
import pytest

from conftest import CHART, ROOT, RELEASE, load, prometheus_program, rendered_example

RULES = CHART / "rules" / "antiphon.yaml"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
RUNBOOKS = (ROOT / "docs" / "operations" / "runbooks.md").read_text()
# What Prometheus adds to whatever it scrapes.
ADDED = {"instance", "job", "namespace", "pod"}
ALERTS = [rule for group in load(RULES.read_text())["groups"] for rule in group["rules"]]


# Where the planes name their metrics.
SOURCES = [ROOT / "gateway" / "src" / "telemetry" / "names.rs", ROOT / "admin" / "src" / "telemetry.rs"]


@functools.cache
def exported():
    """Every series of the exporter with its labels, read from where the planes name them."""
    series = {}
    for source in SOURCES:
        series |= exported_by(source.read_text())
    return series


def exported_by(source):
    names = dict(re.findall(r'const (\w+): &str = "(antiphon_\w+)";', source))
    kinds = {constant: kind for kind, constant in re.findall(r"describe_(\w+)!\((\w+),", source)}
    labels = {}
    for _, constant, rest in re.findall(r"\b(counter|gauge|histogram)!\((\w+)((?:[^()]|\([^()]*\))*)\)", source):
        labels.setdefault(constant, set()).update(re.findall(r'"(\w+)" =>', rest))
    series = {}
    for constant, name in names.items():
        own = labels[constant]
        if kinds[constant] == "histogram":
            # Without bounds of its own it would be a summary, which cannot be added over gateways.
            assert re.search(rf"\b{constant},\s*&\[", source), f"{name} has no buckets"
            series |= {f"{name}_bucket": own | {"le"}, f"{name}_sum": own, f"{name}_count": own}
        else:
            series[name] = own
    return series


@functools.cache
def error_codes():
    source = (ROOT / "domain" / "src" / "error.rs").read_text()
    return set(re.findall(r'Self::\w+ => \(\d+, (?:BAD|"\w+"), "(\w+)"\)', source))


def selectors(expression):
    """Every selector of a query, and the labels that it sums by."""
    found, grouped = [], []

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            found.append(node)
        elif isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            grouped.append((set(node.modifier.labels), node))
        for name in ("expr", "lhs", "rhs", "args", "param"):
            child = getattr(node, name, None)
            for one in child if isinstance(child, list) else [child]:
                if isinstance(one, promql_parser.Expr):
                    visit(one)

    visit(promql_parser.parse(expression))
    return found, grouped


def judge(expression):
    """What is wrong with a query, in words."""
    found, grouped = selectors(expression.replace("$__rate_interval", "5m").replace("$namespace", "voice"))
    assert found, f"{expression} asks for nothing"
    wrong, known = [], set()
    for selector in found:
        if selector.name == "up":
            continue
        if selector.name not in exported():
            wrong.append(f"there is no {selector.name}")
            continue
        labels = exported()[selector.name] | ADDED
        known |= labels
        for matcher in selector.matchers.matchers:
            if matcher.name not in labels:
                wrong.append(f"{selector.name} has no label {matcher.name}")
            if matcher.name == "code":
                patterns = matcher.value.split("|")
                wrong += [f"there is no code {one}" for one in patterns if not any(re.fullmatch(one, code) for code in error_codes())]
    wrong += [f"nothing has the label {label}" for labels, _ in grouped for label in labels - known]
    return wrong


def queries():
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]
    for alert in ALERTS:
        yield alert["alert"], alert["expr"]


def test_the_exporter_is_read_right():
    assert exported()["antiphon_requests_total"] == {"operation", "provider", "status"}
    assert exported()["antiphon_time_to_first_byte_seconds_bucket"] == {"operation", "le"}
    assert exported()["antiphon_admin_requests_total"] == {"method", "route", "status"}
    named = set(re.findall(r'"(antiphon_\w+)"', "".join(source.read_text() for source in SOURCES)))
    assert named and named <= {family(name) for name in exported()}
    assert {"upstream_timeout", "internal_error", "invalid_request"} <= error_codes()


def family(series):
    return re.sub(r"_seconds_(sum|count|bucket)$", "_seconds", series)


@pytest.mark.parametrize(("where", "expression"), list(queries()), ids=[f"{where} {number}" for number, (where, _) in enumerate(queries())])
def test_every_query_asks_for_what_the_gateway_exports(where, expression):
    assert judge(expression) == []


def test_a_query_that_asks_for_something_else_is_found():
    assert judge("sum(rate(antiphon_request_total[5m]))") == ["there is no antiphon_request_total"]
    assert judge('antiphon_errors_total{kind="x"}') == ["antiphon_errors_total has no label kind"]
    assert judge('antiphon_errors_total{code=~"internal_error|gone"}') == ["there is no code gone"]
    assert judge("sum by (tenant) (antiphon_active_sessions)") == ["nothing has the label tenant"]
    assert judge('max(antiphon_request_duration_seconds{quantile="0.9"})') == ["there is no antiphon_request_duration_seconds"]
    assert judge("histogram_quantile(0.9, sum by (le) (rate(antiphon_errors_total[5m])))") == ["nothing has the label le"]


def test_every_metric_is_on_a_dashboard():
    """What is not looked at could as well not be there."""
    asked = set()
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            asked |= set(re.findall(r"antiphon_\w+", " ".join(target["expr"] for target in panel["targets"])))
    assert {family(name) for name in exported()} <= {family(name) for name in asked}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do(alert):
    assert alert["labels"]["severity"] in ("warning", "critical")
    assert alert["annotations"]["summary"] and alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"] == f"docs/operations/runbooks.md#{alert['alert'].lower()}"


def test_every_alert_has_its_runbook_and_every_runbook_its_alert():
    sections = re.split(r"^## ", RUNBOOKS, flags=re.M)[1:]
    bodies = {section.splitlines()[0]: section for section in sections}
    assert sorted(bodies) == sorted(alert["alert"] for alert in ALERTS)
    for name, body in bodies.items():
        assert all(part in body for part in ("**It means**", "**Look at**", "**Do**")), name


def test_dashboards_are_told_apart_and_place_their_panels_side_by_side():
    boards = [json.loads(file.read_text()) for file in DASHBOARDS]
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(boards) == 6
    for board in boards:
        places = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
            assert not cells & places and place["x"] + place["w"] <= 24, f"{board['title']}: {panel['title']}"
            places |= cells
            assert panel["datasource"]["uid"] == "${datasource}"
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_the_chart_installs_the_rules_with_links_and_labels_of_one_s_own():
    groups = rendered_example("production").find("PrometheusRule")["spec"]["groups"]
    installed = [rule for group in groups for rule in group["rules"]]
    assert [(rule["alert"], rule["expr"]) for rule in installed] == [(rule["alert"], rule["expr"]) for rule in ALERTS]
    for rule, own in zip(installed, ALERTS, strict=True):
        assert rule["annotations"]["runbook_url"] == f"https://wiki.example.com/antiphon/runbooks#{rule['alert'].lower()}"
        assert rule["annotations"]["summary"] == own["annotations"]["summary"]
        assert rule["labels"] == {"severity": own["labels"]["severity"], "team": "voice"}


def test_the_rules_know_gateways_by_the_job_that_the_monitor_gives_them():
    case = rendered_example("production")
    monitor, service = case.find("ServiceMonitor")["spec"], case.find("Service", "metrics")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    job = service["metadata"]["labels"][monitor["jobLabel"]]
    down = next(alert["expr"] for alert in ALERTS if alert["alert"] == "AntiphonGatewayDown")
    assert f'job="{job}"' in down


def test_dashboards_arrive_as_they_are():
    case = rendered_example("production")
    for file in DASHBOARDS:
        item = next(one for one in case.all("ConfigMap") if one["metadata"]["name"] == f"{RELEASE}-antiphon-dashboard-{file.stem}")
        assert item["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(item["data"][f"antiphon-{file.name}"]) == json.loads(file.read_text())


def promtool(*arguments):
    command = [prometheus_program("promtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=pathlib.Path(__file__).parent)


def test_prometheus_takes_the_rules():
    done = promtool("check", "rules", RULES)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def test_alerts_fire_when_they_should_and_stay_silent_otherwise():
    done = promtool("test", "rules", "alerts.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
