"""Values: every one does something and is described, and what is wrong is told with its name."""

import importlib
import json

import pytest
from helm_python.errors import HelmError

from conftest import CHART, Rendered, chart, example, load, overlaid

readme = importlib.import_module("chart-readme")
VALUES = (CHART / "values.yaml").read_text()
DEFAULTS = load(VALUES)
LEAVES = readme.leaves(DEFAULTS)
MASTER_KEY = "ANTIPHON_SECRETS__MASTER_KEY"


def below(path, value):
    """The values that have this one at this path."""
    for key in reversed(path):
        value = {key: value}
    return value


def at(values, path):
    for key in path:
        values = values[key]
    return values


# Which example a value has an effect in; `all-options` where nothing else is said. The first prefix counts.
WHERE = {
    "nameOverride": "minimal",
    "image.tag": "minimal",
    "secrets.existingSecret": "minimal",
    "secrets.values": "plain-secret",
    "secrets.externalSecret.enabled": "sqlite",
    "database.kind": "sqlite",
    "redis.enabled": "minimal",
    "gateway.kind": "minimal",
    "gateway.replicas": "gateway-api",
    "gateway.drain.marginSeconds": "minimal",
    "gateway.spread": "minimal",
    "gateway.autoscaling.prometheusAddress": "keda",
    "gateway.autoscaling.kind": "keda",
    "gateway.journal.storageClassName": "production",
    "gateway.journal.existingClaim": "sqlite",
    "networkPolicy.metadataRanges": "minimal",
    "bundled": "bundled-stores",
}
PEERS = [{"ipBlock": {"cidr": "192.0.2.0/24"}}]
# What a value becomes where its form does not say it.
BECOMES = {
    "config.limits.session_max_age": "80m",
    "config.timeouts.drain": "99s",
    "config.timeouts.drain_delay": "9s",
    "config.telemetry.format": "json",
    "listenAddress": "0.0.0.0",
    "database.kind": "postgresql",
    "secrets.values": {"GROQ_API_KEY": "gsk_example"},
    "secrets.externalSecret.storeRef.kind": "ClusterSecretStore",
    "secrets.externalSecret.refreshInterval": "5h",
    "secrets.externalSecret.data": [{"secretKey": "GROQ_API_KEY", "remoteRef": {"key": "voice"}}],
    "secrets.externalSecret.dataFrom": [{"extract": {"key": "another"}}],
    "image.digest": "sha256:" + "a" * 64,
    "image.pullPolicy": "Never",
    "imagePullSecrets": [{"name": "another"}],
    "gateway.kind": "StatefulSet",
    "gateway.service.type": "NodePort",
    "admin.service.type": "LoadBalancer",
    "gateway.autoscaling.kind": "hpa",
    "gateway.podDisruptionBudget.maxUnavailable": 2,
    "gateway.topologySpreadConstraints": [{"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"}],
    "networkPolicy.gatewayFrom": PEERS,
    "networkPolicy.adminFrom": PEERS,
    "networkPolicy.metricsFrom": PEERS,
    "networkPolicy.metadataRanges": ["192.0.2.0/24"],
    "networkPolicy.internetPorts": [8443],
    "networkPolicy.database.to": PEERS,
    "networkPolicy.redis.to": PEERS,
    "networkPolicy.extraEgress": [{"ports": [{"port": 9999}]}],
    "metrics.serviceMonitor.interval": "7s",
    "bundled.postgresql.password": "another-password",
    "bundled.redis.password": "another-password",
    "bundled.postgresql.size": "7Gi",
    "gateway.journal.size": "7Gi",
    "extraEnv": [{"name": "ANOTHER", "value": "1"}],
    "extraVolumes": [{"name": "another", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/another"}],
    "extraObjects": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "another"}}],
}
# By the last key, for both planes.
ENDS = {
    "hosts": ["another.example.com"],
    "hostnames": ["another.example.com"],
    "tls": [{"secretName": "another", "hosts": ["another.example.com"]}],
    "parentRefs": [{"name": "another"}],
    "tolerations": [{"operator": "Exists"}],
    "controller": "nginx",
    "timeout": "0s",
    "externalTrafficPolicy": "",
    "policies": [{"type": "Pods", "value": 9, "periodSeconds": 9}],
    "selectPolicy": "Min",
    "drop": ["NET_RAW"],
    "cpu": "7m",
    "memory": "7Mi",
}


def another(path, value):
    """A value that may stand in the place of this one."""
    name = ".".join(path)
    if name in BECOMES:
        return BECOMES[name]
    if path[-1] in ENDS:
        return ENDS[path[-1]]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, dict):
        return {"another": "thing"}
    return "another"


# What has to stand beside a value for it to have an effect.
BESIDE = {
    "database.kind": {"secrets": {"existingSecret": "antiphon-environment"}},
    "secrets.externalSecret.enabled": {"secrets": {"externalSecret": {"storeRef": {"name": "vault"}, "dataFrom": [{"extract": {"key": "voice"}}]}}},
    "bundled.postgresql.enabled": {"secrets": {"values": {"ANTIPHON_DATABASE__URL": "postgres://host/name"}}},
    "bundled.postgresql.size": {"bundled": {"postgresql": {"size": "8Gi"}}},
    "bundled.postgresql.storageClassName": {"bundled": {"postgresql": {"size": "8Gi"}}},
}


@pytest.mark.parametrize("path", LEAVES, ids=".".join)
def test_every_value_changes_what_is_rendered(path):
    name = ".".join(path)
    base = next((case for prefix, case in WHERE.items() if name.startswith(prefix)), "all-options")
    values = overlaid(overlaid(DEFAULTS, example(base)), BESIDE.get(name, {}))
    more = below(path, another(path, at(values, path)))
    assert Rendered(values).texts != Rendered(overlaid(values, more)).texts


EXISTING = {"secrets": {"existingSecret": "antiphon-environment"}}
WRONG = [
    # The schema's.
    ({"gateways": {}}, "gateways"),
    ({"gateway": {"replica": 3}}, "replica"),
    ({"gateway": {"replicas": "three"}}, "/gateway/replicas"),
    ({"gateway": {"kind": "DaemonSet"}}, "/gateway/kind"),
    ({"gateway": {"service": {"port": 70000}}}, "/gateway/service/port"),
    ({"gateway": {"journal": {"size": "large"}}}, "/gateway/journal/size"),
    ({"gateway": {"drain": {"marginSeconds": 0}}}, "/gateway/drain/marginSeconds"),
    ({"gateway": {"ingress": {"controller": "traefik"}}}, "/gateway/ingress/controller"),
    ({"config": {"bounds": {}}}, "bounds"),
    ({"config": {"timeouts": {"drain": "30"}}}, "/config/timeouts/drain"),
    ({"config": {"limits": {"session_max_age": 60}}}, "/config/limits/session_max_age"),
    ({"database": {"kind": "mysql"}}, "/database/kind"),
    ({"database": {"kind": "sqlite"}}, "/gateway/replicas"),
    ({"database": {"kind": "sqlite"}, "gateway": {"replicas": 3}}, "/gateway/replicas"),
    ({"database": {"kind": "sqlite"}, "gateway": {"replicas": 1, "autoscaling": {"enabled": True}}}, "/gateway/autoscaling/enabled"),
    ({"database": {"kind": "sqlite"}, "gateway": {"replicas": 1, "kind": "StatefulSet"}}, "/gateway/kind"),
    ({"database": {"kind": "sqlite"}, "gateway": {"replicas": 1}, "redis": {"enabled": True}}, "/redis/enabled"),
    # Five digits are what the Gateway API takes.
    ({"gateway": {"httpRoute": {"timeout": "360000s"}}}, "/gateway/httpRoute/timeout"),
    ({"image": {"digest": "latest"}}, "/image/digest"),
    ({"secrets": {"values": {"openai-key": "x"}}}, "openai-key"),
    ({"bundled": {"redis": {"enabled": True, "password": "p@ss/word of mine"}}}, "/bundled/redis/password"),
    ({"networkPolicy": {"metadataRanges": ["everything"]}}, "/networkPolicy/metadataRanges/0"),
    # The templates'.
    ({"secrets": {"existingSecret": ""}}, "secrets: PostgreSQL needs a master key"),
    ({"secrets": {"existingSecret": "", "values": {MASTER_KEY: "A" * 43 + "="}}}, "secrets.values.ANTIPHON_DATABASE__URL"),
    ({"secrets": {"existingSecret": "", "values": {MASTER_KEY: "hunter2", "ANTIPHON_DATABASE__URL": "postgres://h/n"}}},
     "secrets.values.ANTIPHON_SECRETS__MASTER_KEY: must be 32 bytes"),
    ({"secrets": {"existingSecret": "", "values": {MASTER_KEY: "A" * 43 + "=", "ANTIPHON_DATABASE__URL": "postgres://h/n"}},
      "redis": {"enabled": True}}, "secrets.values.ANTIPHON_REDIS__URL"),
    ({"secrets": {"values": {"A": "b"}}}, "secrets: existingSecret, values and externalSecret exclude each other"),
    ({"secrets": {"existingSecret": "", "externalSecret": {"enabled": True}}}, "secrets.externalSecret.storeRef.name"),
    ({"secrets": {"existingSecret": "", "externalSecret": {"enabled": True, "storeRef": {"name": "vault"}}}}, "secrets.externalSecret.data"),
    ({"bundled": {"postgresql": {"enabled": True}}}, "bundled.postgresql.password"),
    ({"bundled": {"redis": {"enabled": True}}}, "bundled.redis.password"),
    ({"gateway": {"terminationGracePeriodSeconds": 30}}, "gateway.terminationGracePeriodSeconds: 30 is too short"),
    ({"config": {"timeouts": {"drain": "10m"}}, "gateway": {"terminationGracePeriodSeconds": 120}}, "need 620"),
    ({"gateway": {"autoscaling": {"enabled": True, "minReplicas": 20}}}, "gateway.autoscaling.maxReplicas"),
    ({"gateway": {"autoscaling": {"enabled": True, "targetCPUUtilizationPercentage": None}}}, "gateway.autoscaling.targetCPUUtilizationPercentage"),
    ({"gateway": {"autoscaling": {"enabled": True, "kind": "keda", "targetActiveSessions": 9}}}, "gateway.autoscaling.prometheusAddress"),
    ({"gateway": {"ingress": {"enabled": True}}}, "gateway.ingress.hosts"),
    ({"gateway": {"service": {"externalTrafficPolicy": "Local"}}}, "gateway.service.externalTrafficPolicy"),
    ({"admin": {"httpRoute": {"enabled": True}}}, "admin.httpRoute.parentRefs"),
    ({"gateway": {"httpRoute": {"timeout": "5m"}}}, "gateway.httpRoute.timeout: 5m is shorter"),
    ({"config": {"database": {"url": "postgres://u:p@h/n"}}}, "config.database"),
    ({"config": {"secrets": {"master_key": "x"}}}, "config.secrets"),
    ({"config": {"redis": {"url": "redis://h"}}}, "config.redis.url"),
    ({"config": {"redis": {"when_away": "open"}}}, "config.redis"),
    ({"config": {"server": {"gateway": {"bind": "0.0.0.0:1"}}}}, "config.server.gateway"),
    ({"config": {"server": {"data_dir": "/data"}}}, "config.server.data_dir"),
    ({"config": {"server": {"admin": {"bind": "0.0.0.0:1"}}}}, "config.server.admin.bind"),
    ({"config": {"providers": [{"name": "openai", "kind": "openai", "api_key": "sk-in-the-open"}]}}, "config.providers[0].api_key"),
    ({"config": {"tenants": [{"name": "acme", "keys": [{"name": "ci", "key": "sk-in-the-open-0123456789"}]}]}}, "config.tenants[0].keys[0].key"),
    ({"config": {"oidc": {"client_secret": "in the open"}}}, "config.oidc.client_secret"),
    ({"config": {"smtp": {"password": "in the open"}}}, "config.smtp.password"),
]


@pytest.mark.parametrize(("more", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_is_wrong_is_told_with_its_name(more, told):
    with pytest.raises(HelmError) as raised:
        Rendered(overlaid(EXISTING, more))
    message = str(raised.value)
    assert told in message
    assert "in the open" not in message and "hunter2" not in message and "nil pointer" not in message


def test_the_schema_knows_every_value_and_no_other():
    """Both ways: a value without a schema could not be set, and one without a default is not described."""
    schema = json.loads((CHART / "values.schema.json").read_text())

    def names(node):
        node = schema["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node
        return node

    def compare(values, node, path):
        node = names(node)
        if node.get("additionalProperties") is not False or not isinstance(values, dict) or path[:1] == ("config",):
            return
        known = set(node["properties"]) - ({"global"} if not path else set())
        optional = {"claims", "initialDelaySeconds", "successThreshold"}
        assert set(values) <= known, path
        if values:
            assert known - optional <= set(values), path
        for key, value in values.items():
            compare(value, node["properties"][key], (*path, key))

    compare(DEFAULTS, schema, ())


def test_the_schema_has_the_sections_that_the_configuration_has():
    schema = json.loads((CHART / "values.schema.json").read_text())
    sample = load((CHART.parents[1] / "antiphon.example.yaml").read_text())
    assert set(schema["properties"]["config"]["properties"]) == set(sample)


def test_a_chart_that_has_this_one_below_it_may_set_global_values():
    Rendered(overlaid(EXISTING, {"global": {"imageRegistry": "registry.example.com"}}))


def test_the_table_of_values_in_the_readme_is_true():
    text = (CHART / "README.md").read_text()
    assert readme.written(text, VALUES) == text, "run scripts/chart-readme.py"


def test_a_value_that_nobody_describes_is_found():
    with pytest.raises(SystemExit, match="gateway.secret"):
        readme.table("gateway:\n  # -- Known.\n  known: 1\n  secret: 2\n")


def test_defaults_are_what_helm_reads():
    assert chart().values == DEFAULTS
