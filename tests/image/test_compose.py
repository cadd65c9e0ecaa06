"""docker-compose.yml: its form, and whether its parts fit each other and the program."""

import os
import re
import subprocess
import sys

import yaml

from programs import ROOT

FILE = ROOT / "docker-compose.yml"
COMPOSE = yaml.safe_load(FILE.read_text())
SERVICES = COMPOSE["services"]
PLANES = ("gateway", "admin")


def test_its_form_is_that_of_the_compose_specification():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_that_is_named_is_there():
    volumes = set(COMPOSE["volumes"])
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in volumes, f"{name}: {volume}"
        assert set(service.get("depends_on", [])) <= SERVICES.keys()


def test_no_secret_stands_in_it_and_none_is_left_out_silently():
    """Passwords come from .env, and without them nothing starts."""
    for name, service in SERVICES.items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search("PASSWORD|MASTER_KEY|DATABASE__URL", variable):
                assert re.search(r"\$\{[A-Z_]+:\?", value), f"{name}: {variable}"


def test_the_sample_of_env_has_what_must_be_set():
    text = FILE.read_text()
    sample = set(re.findall(r"^#   ([A-Z_]+)=", text, flags=re.M))
    assert sample == set(re.findall(r"\$\{([A-Z_]+):\?", text))


def test_planes_run_without_rights_on_a_read_only_root():
    for name in PLANES:
        service = SERVICES[name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["user"] == "65532:65532" and service["security_opt"] == ["no-new-privileges:true"]
        assert SERVICES[name]["command"] == [name]


def test_no_port_is_open_to_others():
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_ports_lead_to_what_listens():
    environment = SERVICES["gateway"]["environment"]
    for name in PLANES:
        listens = environment[f"ANTIPHON_SERVER__{name.upper()}__BIND"].rsplit(":", 1)[1]
        assert [port.rsplit(":", 1)[1] for port in SERVICES[name]["ports"]] == [listens]
    prometheus = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())
    metrics = environment["ANTIPHON_SERVER__METRICS__BIND"].rsplit(":", 1)[1]
    scrape = prometheus["scrape_configs"][0]
    # The rules know the gateways by this job.
    assert scrape["job_name"] == "antiphon"
    assert scrape["static_configs"] == [{"targets": [f"{name}:{metrics}" for name in PLANES]}]


def mounted(service, folder):
    return {volume.split(":")[1]: volume.split(":")[0] for volume in SERVICES[service]["volumes"]}[folder]


def test_rules_and_dashboards_are_the_chart_s():
    prometheus = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yml").read_text())
    folder, pattern = prometheus["rule_files"][0].rsplit("/", 1)
    assert list((ROOT / mounted("prometheus", folder)).glob(pattern))
    provisioning = ROOT / mounted("grafana", "/etc/grafana/provisioning")
    provider = yaml.safe_load((provisioning / "dashboards" / "antiphon.yml").read_text())["providers"][0]
    assert list((ROOT / mounted("grafana", provider["options"]["path"])).glob("*.json"))
    source = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"][0]
    assert source["url"].removeprefix("http://").split(":")[0] in SERVICES


def test_the_grace_has_room_for_the_drain():
    environment = SERVICES["gateway"]["environment"]
    needed = sum(int(environment[f"ANTIPHON_TIMEOUTS__{name}"].removesuffix("s")) for name in ("DRAIN", "DRAIN_DELAY"))
    for name in PLANES:
        assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) >= needed + 5


def test_the_program_takes_its_environment(binary, tmp_path):
    file = tmp_path / "antiphon.yaml"
    file.write_text("")
    told = SERVICES["gateway"]["environment"]
    variables = {name: re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "example", value) for name, value in told.items() if value}
    variables["ANTIPHON_SECRETS__MASTER_KEY"] = "bm90LWEtc2VjcmV0LWJ1dC1vZi10aGlydHktdHdvLWI="
    command = [binary, "config", "check", file]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"], **variables}, capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.returncode == 0, done.stderr
