"""Whether a cluster would take what is rendered, and whether its parts find each other."""

import functools
import json
import pathlib

import jsonschema
import kubernetes_validate
import pytest
from helm_python.chart import Chart, lint, package

from conftest import CASES, CHART, NAMESPACE, RELEASE, Rendered, component, example, load, overlaid, rendered_example

VERSIONS = ["1.30", "1.33", "1.37"]
SCHEMAS = pathlib.Path(__file__).resolve().parent / "schemas"

# The same few files are read for every object otherwise.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


@functools.cache
def custom_schema(api_version, kind):
    file = SCHEMAS / f"{api_version}_{kind}.json".replace("/", "_").lower()
    return jsonschema.Draft202012Validator(json.loads(file.read_text())) if file.exists() else None


def test_there_are_a_dozen_examples():
    assert len(CASES) >= 12


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(case, version):
    for item in case.objects:
        if custom_schema(item["apiVersion"], item["kind"]) is None:
            kubernetes_validate.validate(item, version, strict=True)


def test_operators_take_their_objects(case):
    for item in case.objects:
        schema = custom_schema(item["apiVersion"], item["kind"])
        if schema is not None:
            schema.validate(item)


def test_every_kind_of_custom_resource_is_rendered_somewhere():
    rendered = {(item["apiVersion"], item["kind"]) for name in CASES for item in rendered_example(name).objects}
    with_schema = {file.stem for file in SCHEMAS.glob("*.json")}
    assert {f"{version}_{kind}".replace("/", "_").lower() for version, kind in rendered} >= with_schema


def test_a_field_that_a_kind_does_not_have_is_refused():
    """The schemas are closed, so that what they let through means something."""
    for version in VERSIONS:
        with pytest.raises(kubernetes_validate.ValidationError):
            gateway = rendered_example("minimal").gateway()
            kubernetes_validate.validate(overlaid(gateway, {"spec": {"replicaCount": 1}}), version, strict=True)
    route = rendered_example("gateway-api").find("HTTPRoute", "gateway")
    schema = custom_schema(route["apiVersion"], route["kind"])
    with pytest.raises(jsonschema.ValidationError):
        schema.validate(overlaid(route, {"spec": {"timeout": "1h"}}))


@pytest.mark.parametrize("version", VERSIONS)
def test_helm_finds_nothing_to_object_to(version):
    report = lint(CHART, example("production"), strict=True, kube_version=f"v{version}.0")
    assert not report["errors"]
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_a_packaged_chart_renders_what_its_folder_does(tmp_path):
    """Rules and dashboards are files beside the templates, which a package could lack."""
    with Chart.load(package(CHART, destination=tmp_path)) as packaged:
        texts = packaged.render(example("production"), name=RELEASE, namespace=NAMESPACE)
    assert texts.pop("antiphon/templates/NOTES.txt") == rendered_example("production").notes
    assert texts == rendered_example("production").texts


def test_names_are_short_enough_and_no_object_comes_twice(case):
    named = [(item["kind"], item["metadata"]["name"]) for item in case.objects]
    assert len(named) == len(set(named))
    assert all(len(name) <= 63 for _, name in named)


def test_a_long_release_name_still_gives_names_that_kubernetes_takes():
    long = Rendered(overlaid(example("production"), {"fullnameOverride": "a" * 60}))
    assert max(len(item["metadata"]["name"]) for item in long.objects) <= 63


def test_selectors_find_their_pods_and_no_others(case):
    pods = dict(case.pods())
    for item in case.objects:
        if item["kind"] in ("Deployment", "StatefulSet"):
            labels = item["spec"]["template"]["metadata"]["labels"]
            assert item["spec"]["selector"]["matchLabels"].items() <= labels.items()
        if item["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy"):
            selector = item["spec"].get("selector") or item["spec"]["podSelector"]
            wanted = selector.get("matchLabels", selector)
            found = [name for name, pod in pods.items() if wanted.items() <= pod["metadata"]["labels"].items()]
            assert len(found) == 1, f"{item['kind']} {item['metadata']['name']} finds {found}"


def test_services_lead_to_ports_that_their_pods_have(case):
    for service in case.all("Service"):
        selector = service["spec"]["selector"]
        pod = next(pod for _, pod in case.pods() if selector.items() <= pod["metadata"]["labels"].items())
        ports = {port["name"] for container in pod["spec"]["containers"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_the_service_that_is_public_does_not_lead_to_metrics(case):
    assert [port["targetPort"] for port in case.find("Service", "gateway")["spec"]["ports"]] == ["http"]
    assert case.find("Service", "metrics")["spec"]["clusterIP"] == "None"


def test_both_planes_tell_their_metrics_to_one_monitor():
    case = rendered_example("production")
    monitor = case.find("ServiceMonitor")["spec"]["selector"]["matchLabels"]
    told = [item["spec"]["selector"]["app.kubernetes.io/component"] for item in case.all("Service")
            if monitor.items() <= item["metadata"]["labels"].items()]
    assert sorted(told) == ["admin", "gateway"]
    assert rendered_example("sqlite").all("Service", "metrics-control") == [], "one process has both planes"
    assert rendered_example("gateway-only").all("Service", "metrics-control") == []


def test_every_pod_passes_the_restricted_pod_security_standard(case):
    for name, pod in case.pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        allowed = {"configMap", "emptyDir", "persistentVolumeClaim", "projected", "secret", "name"}
        assert all(volume.keys() <= allowed for volume in spec.get("volumes", [])), name
        for container in spec["containers"] + spec.get("initContainers", []):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert "limits" in container["resources"] and "requests" in container["resources"], name
            assert all("hostPort" not in port for port in container.get("ports", [])), name


def test_what_a_program_writes_to_is_a_volume(case):
    """The root is read-only, so that the data folder and the folder for temporary files are mounted."""
    gateway = case.gateway()["spec"]["template"]["spec"]["containers"][0]
    mounts = {mount["mountPath"]: mount for mount in gateway["volumeMounts"]}
    assert load(case.config())["server"]["data_dir"] in mounts
    assert not mounts["/var/lib/antiphon"].get("readOnly")
    assert not mounts["/tmp"].get("readOnly")


def test_links_to_services_do_not_become_variables_of_the_configuration(case):
    """With a release called `antiphon` they would be named ANTIPHON_…."""
    assert all(pod["spec"]["enableServiceLinks"] is False for _, pod in case.pods())


def test_secrets_are_in_secrets_alone():
    """Whatever the chart is given as a secret is not in any other object."""
    for name in ("bundled-stores", "plain-secret"):
        values = example(name)
        secrets = [value for key, value in values["secrets"]["values"].items() if key != "ANTIPHON_ADMIN_EMAIL"]
        secrets += [store["password"] for store in values.get("bundled", {}).values()]
        for item in rendered_example(name).objects:
            text = json.dumps(item)
            told = [secret for secret in secrets if secret in text]
            assert item["kind"] == "Secret" or not told, f"{item['kind']} {item['metadata']['name']}: {told}"


def test_workloads_run_the_commands_of_their_planes():
    apart = rendered_example("production")
    container = apart.gateway()["spec"]["template"]["spec"]["containers"][0]
    assert container["args"][0] == "gateway"
    assert apart.find("Deployment", "admin")["spec"]["template"]["spec"]["containers"][0]["args"][0] == "admin"
    assert apart.find("Job", "migration")["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate", "up"]
    together = rendered_example("sqlite")
    assert together.gateway()["spec"]["template"]["spec"]["containers"][0]["args"][0] == "serve"
    assert together.all("Deployment", "admin") == together.all("Job") == []


@pytest.mark.parametrize(("name", "hooks"), [
    ("minimal", "pre-install,pre-upgrade"),
    ("plain-secret", "post-install,pre-upgrade"),
    ("external-secret", "post-install,pre-upgrade"),
    ("bundled-postgresql", "post-install,pre-upgrade"),
])
def test_the_migration_runs_before_what_is_new_and_never_before_its_secret_is_there(name, hooks):
    assert rendered_example(name).find("Job", "migration")["metadata"]["annotations"]["helm.sh/hook"] == hooks


def test_the_migration_before_the_first_installation_needs_nothing_that_the_chart_makes():
    job = rendered_example("minimal").find("Job", "migration")["spec"]["template"]["spec"]
    assert job["serviceAccountName"] == "default"
    assert all("configMap" not in volume for volume in job["volumes"])
    assert job["containers"][0]["envFrom"] == [{"secretRef": {"name": "antiphon-environment"}}]


def test_sqlite_is_one_pod_at_a_time_on_a_volume_that_stays():
    case = rendered_example("sqlite")
    spec = case.gateway()["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    claim = case.find("PersistentVolumeClaim", "data")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert {"name": "data", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}} in spec["template"]["spec"]["volumes"]
    own = rendered_example("sqlite-own-claim")
    assert own.all("PersistentVolumeClaim") == []


def test_journals_of_a_stateful_set_outlive_their_pods():
    spec = rendered_example("production").gateway()["spec"]
    assert spec["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"] == "8Gi"
    assert spec["persistentVolumeClaimRetentionPolicy"] == {"whenScaled": "Retain", "whenDeleted": "Retain"}
    mounted = {mount["name"] for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert "data" in mounted


def test_pods_spread_and_leave_one_at_a_time():
    case = rendered_example("minimal")
    spread = case.gateway()["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert {constraint["topologyKey"] for constraint in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    labels = case.gateway()["spec"]["template"]["metadata"]["labels"]
    assert all(constraint["labelSelector"]["matchLabels"].items() <= labels.items() for constraint in spread)
    budget = case.find("PodDisruptionBudget", "gateway")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    # A budget for a single pod would only keep its node from being drained.
    assert rendered_example("sqlite").all("PodDisruptionBudget") == []
    assert case.all("PodDisruptionBudget", "admin") == []


def test_scaling_aims_at_the_workload_by_processor_and_sessions():
    case = rendered_example("production")
    scaler = case.find("HorizontalPodAutoscaler")["spec"]
    gateway = case.gateway()
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": gateway["kind"], "name": gateway["metadata"]["name"]}
    assert "replicas" not in gateway["spec"]
    assert [metric["type"] for metric in scaler["metrics"]] == ["Resource", "Pods"]
    assert scaler["metrics"][1]["pods"]["target"] == {"type": "AverageValue", "averageValue": "400"}
    # Whoever shrinks in a hurry cuts sessions.
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] >= 900
    keda = rendered_example("keda")
    assert keda.all("HorizontalPodAutoscaler") == []
    trigger = keda.find("ScaledObject")["spec"]["triggers"]
    assert [(one["type"], one["metadata"]["threshold"]) for one in trigger] == [("prometheus", "500")]


def test_everything_is_in_the_release_s_namespace_and_says_what_it_is_part_of(case):
    for item in case.objects:
        if item["metadata"]["name"].endswith("-extra"):
            continue
        assert item["metadata"]["namespace"] == NAMESPACE
        assert component(item) and item["metadata"]["labels"]["app.kubernetes.io/part-of"] == "antiphon"


def test_the_test_pod_asks_where_clients_do(case):
    pod = case.find("Pod", "test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    services = {f"{item['metadata']['name']}:{item['spec']['ports'][0]['port']}" for item in case.all("Service")}
    asked = [container["command"][-1] for container in pod["spec"]["containers"]]
    assert asked
    for url in asked:
        assert url.removeprefix("http://").removesuffix("/readyz") in services
    assert pod["spec"]["initContainers"][0]["args"][:2] == ["config", "check"]


def test_notes_warn_of_what_loses_money():
    assert "Without Redis each gateway counts" in rendered_example("minimal").notes
    assert "Without Redis" not in rendered_example("production").notes
    assert "gateway.kind: StatefulSet" in rendered_example("minimal").notes
    assert "gateway.kind: StatefulSet" not in rendered_example("production").notes
    assert "no backups" in rendered_example("bundled-stores").notes
    assert "a key without any limit" in rendered_example("minimal").notes
    assert "a key without any limit" not in rendered_example("production").notes
