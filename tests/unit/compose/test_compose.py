"""docker-compose.yaml: what it names is there, nothing is open to the network, defaults are those of .env.example."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from mongo_backup.objects.loader import load_directory

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docker-compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
CONDITIONS = {"service_started", "service_healthy", "service_completed_successfully"}
# https://github.com/compose-spec/compose-spec/blob/main/05-services.md: those that are used here
SERVICE_FIELDS = {
    *("build", "command", "configs", "depends_on", "entrypoint", "environment", "healthcheck", "image", "ports"),
    *("profiles", "read_only", "restart", "stop_grace_period", "tmpfs", "user", "volumes"),
}


def defaults() -> dict[str, set[str]]:
    """Each variable of the file and the defaults that it has there."""
    found: dict[str, set[str]] = {}
    for name, default in re.findall(r"(?<!\$)\$\{([A-Z_]+):-([^}]*)\}", TEXT):
        found.setdefault(name, set()).add(default)
    return found


def example() -> dict[str, str]:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_it_is_a_compose_file() -> None:
    """By the rules of the specification, and by Docker Compose itself where it is installed."""
    assert set(COMPOSE) - {key for key in COMPOSE if key.startswith("x-")} == {"name", "services", "configs", "volumes"}
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_FIELDS, name
    docker = shutil.which("docker") or "docker"
    if shutil.which(docker) and subprocess.run([docker, "compose", "version"], capture_output=True).returncode == 0:
        command = [docker, "compose", "--file", str(ROOT / "docker-compose.yaml"), "--profile", "*", "config", "-q"]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr


def test_every_variable_has_the_default_of_the_example() -> None:
    assert set(re.findall(r"(?<!\$)\$\{?([A-Z_]+)", TEXT)) == set(defaults())
    assert {name: {value} for name, value in example().items()} == defaults()


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_names_is_there(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"], source
    for config in service.get("configs", []):
        assert config["source"] in COMPOSE["configs"]
    for other, how in service.get("depends_on", {}).items():
        assert other in SERVICES
        assert how["condition"] in CONDITIONS
        if how["condition"] == "service_healthy":
            assert "healthcheck" in SERVICES[other], f"{name} waits for the health of {other}, which has no check"
        if how["condition"] == "service_completed_successfully":
            assert SERVICES[other].get("restart", "no") != "unless-stopped", f"{other} would never complete"


def test_every_volume_is_used() -> None:
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert set(COMPOSE["volumes"]) <= used


def test_nothing_waits_for_itself() -> None:
    def needs(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"circle: {above}"
        for other in SERVICES[name].get("depends_on", {}):
            needs(other, (*above, name))

    for name in SERVICES:
        needs(name, ())


def test_ports_are_bound_to_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_are_pinned_and_built_from_what_is_there() -> None:
    for name, service in SERVICES.items():
        tag = service["image"].rpartition(":")[2]
        assert any(character.isdigit() for character in tag), f"{name}: {service['image']}"
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_every_long_running_service_has_a_health_check() -> None:
    for name, service in SERVICES.items():
        if service.get("restart") == "unless-stopped":
            assert "healthcheck" in service, name


def test_the_store_reads_its_identities() -> None:
    document = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", COMPOSE["configs"]["store-identities"]["content"])
    credentials = json.loads(document)["identities"][0]["credentials"]
    values = example()
    assert credentials == [{"accessKey": values["STORE_ACCESS_KEY"], "secretKey": values["STORE_SECRET_KEY"]}]


def test_the_example_objects_are_those_of_the_file() -> None:
    objects = load_directory(ROOT / "include" / "config")
    assert objects.error_text() == ""
    spec = objects.app_bindings["shop"].spec
    assert spec.config_server is not None
    hosts = [*spec.config_server.hosts, *spec.mongos, *(host for shard in spec.shards.values() for host in shard.hosts)]
    assert {host.removesuffix(":27017") for host in hosts} <= set(SERVICES)
    environment = SERVICES["cluster-init"]["environment"]
    assert environment["CONFIG"] == ",".join(spec.config_server.hosts)
    assert environment["SHARDS"] == ";".join(f"{name}={','.join(s.hosts)}" for name, s in spec.shards.items())
    endpoint = objects.storages["store"].spec.model_dump()["endpoint"]
    assert endpoint == "http://store:8333"


def test_dockerfiles_copy_what_the_build_context_holds() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for dockerfile in ("Dockerfile", "Dockerfile.airflow"):
        text = (ROOT / "include" / "image" / dockerfile).read_text("utf-8").replace("\\\n", " ")
        for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.MULTILINE):
            for source in [word for word in line.split() if not word.startswith("--")][:-1]:
                assert list(ROOT.glob(source)), f"{dockerfile}: {source}"
                assert any(source == entry or source.startswith(f"{entry}/") for entry in allowed), source
        for image in re.findall(r"^ARG \w*IMAGE=(\S+)$", text, re.MULTILINE):
            assert any(character.isdigit() for character in image.rpartition(":")[2]), image
