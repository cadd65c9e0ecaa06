"""What NetworkPolicies let through: what is needed, and not more."""

import ipaddress

import pytest

from conftest import CASES, component, rendered_example

METADATA = ["169.254.169.254", "fd00:ec2::254"]
WITH_POLICIES = [name for name in CASES if rendered_example(name).all("NetworkPolicy")]
ELSEWHERE = {"app": "somebody-else"}


def selects(selector, labels):
    return selector.get("matchLabels", {}).items() <= labels.items()


def policy_of(case, labels):
    found = [policy for policy in case.all("NetworkPolicy") if selects(policy["spec"]["podSelector"], labels)]
    assert len(found) == 1
    return found[0]["spec"]


def labels_of(case, part):
    return next(pod["metadata"]["labels"] for _, pod in case.pods() if component(pod) == part)


def number(case, labels, port):
    """A port by its number, also where a policy names it."""
    for _, pod in case.pods():
        if pod["metadata"]["labels"] == labels:
            for container in pod["spec"]["containers"]:
                for one in container.get("ports", []):
                    if one["name"] == port:
                        return one["containerPort"]
    return port


def matches(peers, labels=None, address=None):
    """Whether one of the peers is a pod of this namespace with these labels, or an address."""
    if peers is None:
        return True
    for peer in peers:
        if address and "ipBlock" in peer and ipaddress.ip_address(address) in ipaddress.ip_network(peer["ipBlock"]["cidr"]):
            excepted = peer["ipBlock"].get("except", [])
            if not any(ipaddress.ip_address(address) in ipaddress.ip_network(one) for one in excepted):
                return True
        if labels is not None and "podSelector" in peer and "namespaceSelector" not in peer and selects(peer["podSelector"], labels):
            return True
    return False


def may_enter(case, part, port, **who):
    labels = labels_of(case, part)
    rules = policy_of(case, labels)["ingress"]
    return any(matches(rule.get("from"), **who) and port in [number(case, labels, one["port"]) for one in rule["ports"]]
               for rule in rules)


def may_leave(case, part, port, **where):
    rules = policy_of(case, labels_of(case, part))["egress"]
    return any(matches(rule.get("to"), **where) and port in [one["port"] for one in rule["ports"]] for rule in rules)


@pytest.mark.parametrize("name", WITH_POLICIES)
def test_every_pod_but_the_test_s_has_a_policy_for_both_directions(name):
    case = rendered_example(name)
    for _, pod in case.pods():
        if component(pod) != "test":
            assert policy_of(case, pod["metadata"]["labels"])["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize("name", WITH_POLICIES)
def test_the_gateway_reaches_names_and_providers_and_never_the_cloud_s_metadata(name):
    case = rendered_example(name)
    assert may_leave(case, "gateway", 53, address="10.96.0.10")
    assert may_leave(case, "gateway", 443, address="104.18.0.1")
    assert may_leave(case, "gateway", 443, address="2606:4700::1")
    for address in METADATA:
        assert not may_leave(case, "gateway", 443, address=address)
        assert not may_leave(case, "gateway", 80, address=address)
    assert not may_leave(case, "gateway", 22, address="10.0.0.1")


def test_whoever_uses_the_database_reaches_it_and_nobody_else_comes_in():
    bundled = rendered_example("bundled-stores")
    for part in ("gateway", "admin", "migration"):
        for store, port in (("postgresql", 5432), ("redis", 6379)):
            assert may_leave(bundled, part, port, labels=labels_of(bundled, store))
            assert may_enter(bundled, store, port, labels=labels_of(bundled, part))
    for store, port in (("postgresql", 5432), ("redis", 6379)):
        assert not may_enter(bundled, store, port, labels=ELSEWHERE)
    own = rendered_example("production")
    for part in ("gateway", "admin", "migration"):
        assert may_leave(own, part, 5432, address="10.20.0.7")
        assert not may_leave(own, part, 5432, address="10.30.0.7")
        assert may_leave(own, part, 6380, address="10.20.1.7")
    assert not may_leave(own, "migration", 443, address="104.18.0.1")


def test_clients_come_in_at_their_plane_and_prometheus_at_metrics():
    everybody = rendered_example("minimal")
    assert may_enter(everybody, "gateway", 8080, labels=ELSEWHERE)
    assert may_enter(everybody, "admin", 8081, labels=ELSEWHERE)
    some = rendered_example("all-options")
    assert may_enter(some, "gateway", 8080, address="10.1.2.3")
    assert not may_enter(some, "gateway", 8080, address="192.0.2.1")
    assert may_enter(some, "admin", 8081, labels={"app": "bastion"})
    assert not may_enter(some, "admin", 8081, labels=ELSEWHERE)
    for plane in ("gateway", "admin"):
        rules = policy_of(some, labels_of(some, plane))["ingress"]
        assert {"from": [{"namespaceSelector": {}}], "ports": [{"port": "metrics", "protocol": "TCP"}]} in rules


def test_the_pod_of_helm_test_always_comes_in():
    for name in ("minimal", "all-options", "production"):
        case = rendered_example(name)
        for part, port in (("gateway", 8080), ("admin", 8081)):
            assert may_enter(case, part, port, labels=labels_of(case, "test"))


def test_on_sqlite_one_pod_has_the_ports_of_both_planes():
    case = rendered_example("sqlite")
    assert may_enter(case, "gateway", 8080, labels=ELSEWHERE)
    assert may_enter(case, "gateway", 8081, labels=ELSEWHERE)
    assert not may_leave(case, "gateway", 5432, address="10.0.0.1")


def test_alerts_reach_the_mail_server_that_is_configured():
    case = rendered_example("all-options")
    assert may_leave(case, "admin", 465, address="192.0.2.25")
    assert not may_leave(case, "gateway", 465, address="192.0.2.25")


def test_providers_of_one_s_own_are_reached_where_it_is_said():
    case = rendered_example("all-options")
    assert may_leave(case, "gateway", 9000, labels={"app": "whisper"})
    assert not may_leave(case, "gateway", 9000, labels=ELSEWHERE)
