"""How pods begin, end and are exchanged, and whether whoever stands before them waits as long as a session may last."""

import pytest

from conftest import CASES, Rendered, example, load, overlaid, rendered_example, seconds

DEFAULTS = {"drain": "30s", "drain_delay": "0s"}


def planes(case):
    """The pods of both planes, as far as they are apart."""
    found = [case.gateway(), *case.all("Deployment", "admin")]
    return [item["spec"]["template"]["spec"] for item in found]


@pytest.mark.parametrize("name", CASES)
def test_a_pod_s_grace_has_room_for_all_that_its_end_takes(name):
    case = rendered_example(name)
    timeouts = DEFAULTS | {key: value for key, value in load(case.config())["timeouts"].items() if key in DEFAULTS}
    for pod in planes(case):
        hook = pod["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        needed = hook + seconds(timeouts["drain_delay"]) + seconds(timeouts["drain"])
        # docs/stopping.md asks for 5 seconds beyond the drain.
        assert pod["terminationGracePeriodSeconds"] >= needed + 5


def test_the_grace_follows_the_drain():
    before = rendered_example("minimal").gateway()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    longer = Rendered(overlaid(example("minimal"), {"config": {"timeouts": {"drain": "2h", "drain_delay": "1500ms"}}}))
    after = longer.gateway()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert (before, after) == (5 + 5 + 30 + 10, 5 + 2 + 7200 + 10)


def test_the_configuration_that_pods_read_has_the_drain_that_the_grace_was_reckoned_from():
    config = load(rendered_example("production").config())
    assert config["timeouts"] == {"drain": "5m", "drain_delay": "10s"}
    assert rendered_example("production").gateway()["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + 300 + 10 + 10


@pytest.mark.parametrize("name", CASES)
def test_probes_ask_for_life_and_readiness_at_the_plane_s_own_port(name):
    for pod in planes(rendered_example(name)):
        container = pod["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
        assert container["startupProbe"]["httpGet"]["path"] == "/healthz"
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        config = load(rendered_example(name).config())["server"]
        plane = "admin" if container["name"] == "admin" else "gateway"
        assert config[plane]["bind"].endswith(f":{ports[container['readinessProbe']['httpGet']['port']]}")
        assert config["metrics"]["bind"].endswith(":9464")


def test_a_pod_that_stops_is_left_out_before_new_connections_are_refused():
    """Readiness goes off with SIGTERM; the probe must see that within `drain_delay`."""
    for name in CASES:
        case = rendered_example(name)
        probe = case.gateway()["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
        delay = seconds(load(case.config())["timeouts"]["drain_delay"])
        hook = case.gateway()["spec"]["template"]["spec"]["containers"][0].get("lifecycle")
        assert hook or delay > probe["periodSeconds"] * probe["failureThreshold"]


def test_no_pod_goes_before_another_is_there():
    for name in ("minimal", "external-secret"):
        for workload in (rendered_example(name).gateway(), rendered_example(name).find("Deployment", "admin")):
            assert workload["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def checksums(case):
    workloads = [case.gateway(), *case.all("Deployment", "admin")]
    return [workload["spec"]["template"]["metadata"]["annotations"] for workload in workloads]


@pytest.mark.parametrize(("name", "more"), [
    ("minimal", {"config": {"limits": {"max_sessions": 7}}}),
    ("minimal", {"listenAddress": "[::]"}),
    ("plain-secret", {"secrets": {"values": {"OPENAI_API_KEY": "sk-another"}}}),
    ("bundled-stores", {"bundled": {"redis": {"password": "another-password"}}}),
])
def test_pods_are_exchanged_when_what_they_read_has_changed(name, more):
    before, after = checksums(rendered_example(name)), checksums(Rendered(overlaid(example(name), more)))
    assert len(before) == len(after) == 2
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_pods_stay_when_only_what_is_around_them_has_changed():
    around = {"gateway": {"service": {"port": 8080}}, "networkPolicy": {"enabled": False}}
    before, after = rendered_example("minimal"), Rendered(overlaid(example("minimal"), around))
    assert before.gateway()["spec"]["template"] == after.gateway()["spec"]["template"]


def session_seconds(case):
    return seconds(load(case.config())["limits"].get("session_max_age", "60m"))


@pytest.mark.parametrize("name", [name for name in CASES if rendered_example(name).all("Ingress", "gateway")])
def test_an_ingress_waits_as_long_as_the_longest_session_lasts(name):
    case = rendered_example(name)
    annotations = case.find("Ingress", "gateway")["metadata"]["annotations"]
    waits = {key: value for key, value in annotations.items() if "timeout" in key}
    assert len(waits) >= 2
    for value in waits.values():
        assert int(value.removesuffix("s")) > session_seconds(case)


def test_an_ingress_takes_the_largest_upload_that_anybody_may_send_and_holds_nothing_back():
    annotations = rendered_example("production").find("Ingress", "gateway")["metadata"]["annotations"]
    prefix = "nginx.ingress.kubernetes.io"
    # 100 MiB for one key, 50 for the others; a form is larger than its file.
    assert annotations[f"{prefix}/proxy-body-size"] == "101m"
    assert annotations[f"{prefix}/proxy-request-buffering"] == annotations[f"{prefix}/proxy-buffering"] == "off"


def test_own_annotations_go_before_the_chart_s():
    own = {"nginx.ingress.kubernetes.io/proxy-body-size": "1g"}
    case = Rendered(overlaid(example("production"), {"gateway": {"ingress": {"annotations": own}}}))
    assert own.items() <= case.find("Ingress", "gateway")["metadata"]["annotations"].items()


@pytest.mark.parametrize("name", [name for name in CASES if rendered_example(name).all("HTTPRoute", "gateway")])
def test_a_route_of_the_gateway_api_waits_as_long_as_the_longest_session_lasts(name):
    case = rendered_example(name)
    for rule in case.find("HTTPRoute", "gateway")["spec"]["rules"]:
        for timeout in rule["timeouts"].values():
            assert timeout == "0s" or seconds(timeout) >= session_seconds(case)


def test_routes_lead_to_the_services_of_their_planes():
    case = rendered_example("all-options")
    for plane in ("gateway", "admin"):
        service = case.find("Service", plane)
        route = case.find("HTTPRoute", plane)["spec"]["rules"][0]["backendRefs"][0]
        assert (route["name"], route["port"]) == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])
        backend = case.find("Ingress", plane)["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
        assert (backend["name"], backend["port"]["name"]) == (service["metadata"]["name"], service["spec"]["ports"][0]["name"])
