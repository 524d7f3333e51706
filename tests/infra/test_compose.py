"""The server form, as far as it can be held to its word without a container engine: a real compose reads it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import topics
from streams.settings import PROJECT, Settings

COMPOSE_FILE = PROJECT / "docker-compose.yml"
TEXT = COMPOSE_FILE.read_text()
REQUIRED = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
VALUES = {name: f"value-of-{name.lower()}" for name in REQUIRED}


def compose() -> list[str]:
    """The compose command of this machine: Docker's own, or the one that Debian packages."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    pytest.skip("no compose here: install Docker's compose plugin, or Debian's package docker-compose")


def config(variables: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What compose makes of the file, with these variables alone."""
    nothing = folder / "empty.env"  # a `.env` that somebody filled in must not answer for us
    nothing.touch()
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    command = [*compose(), "--file", str(COMPOSE_FILE), "--env-file", str(nothing), "config"]
    return subprocess.run(command, capture_output=True, text=True, env=environment | variables, cwd=PROJECT)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services as compose understands them."""
    read = config(VALUES, tmp_path_factory.mktemp("compose"))
    assert read.returncode == 0, read.stderr
    return yaml.safe_load(read.stdout)["services"]


def test_compose_reads_it_whole(services: dict[str, Any]) -> None:
    assert set(services) == set(yaml.safe_load(TEXT)["services"])
    assert services["engine"]["environment"]["PINSTREAM_MILVUS_TOKEN"] == "root:value-of-milvus_password"
    assert services["setup"]["command"] == ["pinstream", "up"]


def test_without_its_secrets_it_does_not_start(tmp_path: Path) -> None:
    read = config({}, tmp_path)
    assert read.returncode != 0
    assert any(name in read.stderr for name in REQUIRED), read.stderr


def test_every_secret_is_asked_for_and_none_is_written_down() -> None:
    assert set(re.findall(r"\$\{([A-Z_]+)\}|\$([A-Z_]+)", TEXT)) == set(), "a variable without `:?` may be empty"
    for name, service in yaml.safe_load(TEXT)["services"].items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD|SECRET|TOKEN|_USER$|ACCESS_KEY", variable) and variable != "CLICKHOUSE_USER":
                assert "${" in value, f"{name}: {variable}"
                assert ":?" in value, f"{name}: {variable}"


def test_the_example_names_every_variable_and_no_value_of_a_secret() -> None:
    example = dict(re.findall(r"^([A-Z_]+)=(.*)$", (PROJECT / ".env.example").read_text(), re.MULTILINE))
    assert {name for name, value in example.items() if not value} == REQUIRED
    defaults = dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", TEXT))
    assert {name: value for name, value in example.items() if value} == {
        name: value for name, value in defaults.items() if name in example
    }


def test_every_image_is_pinned(services: dict[str, Any]) -> None:
    images = [service["image"] for service in services.values()]
    dockerfiles = PROJECT.glob("infra/docker/*.Dockerfile")
    images += [image for file in dockerfiles for image in re.findall(r"^FROM (\S+)", file.read_text(), re.MULTILINE)]
    for image in images:
        assert re.search(r":\D*\d+\.\d+|:RELEASE\.\d{4}-", image), f"{image} has no version"


def test_each_waits_for_a_part_that_can_say_it_is_ready(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name != "setup":
            assert service["healthcheck"]["test"], name
            assert service["restart"] == "unless-stopped", name
        for part, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services[part], f"{name} waits for {part}, which cannot say"
    assert services["engine"]["depends_on"]["setup"]["condition"] == "service_completed_successfully"
    assert set(services["engine"]["depends_on"]) >= {"setup", "milvus", "triton"}
    assert set(services["setup"]["depends_on"]) == {"kafka", "clickhouse"}


def test_triton_gets_a_gpu_and_the_model_repository(services: dict[str, Any]) -> None:
    (device,) = services["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert "./model_repo:/models:ro" in yaml.safe_load(TEXT)["services"]["triton"]["volumes"]


def test_nothing_listens_beyond_this_machine() -> None:
    for name, service in yaml.safe_load(TEXT)["services"].items():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port} to everybody"


def test_what_is_mounted_and_copied_is_there() -> None:
    for service in yaml.safe_load(TEXT)["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (PROJECT / source).exists(), source
    sent = [line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for dockerfile in PROJECT.glob("infra/docker/*.Dockerfile"):
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile.read_text(), re.MULTILINE):
            for source in line.split()[:-1]:
                assert (PROJECT / source).exists(), f"{dockerfile.name}: {source}"
                assert any(Path(source).is_relative_to(kept) for kept in sent), f".dockerignore leaves out {source}"


def test_the_engine_is_told_of_settings_that_exist() -> None:
    engine = yaml.safe_load(TEXT)["services"]["engine"]["environment"]
    variables = {name: str(value) for name, value in engine.items()}
    for name in variables:
        field = name.removeprefix("PINSTREAM_").lower()
        assert field in Settings.__dataclass_fields__ or field.removeprefix("port_") in Settings.PORTS, name
    settings = Settings.load(variables)
    hosts = {re.sub(r"^\w+://(.*@)?|:\d+.*$", "", address) for address in _servers(settings)}
    assert hosts == {"kafka", "clickhouse", "milvus", "triton"}
    assert settings.api_token, "it listens beyond loopback"


def _servers(settings: Settings) -> list[str]:
    return [settings.kafka, settings.clickhouse, settings.milvus, settings.triton]


def test_kafka_takes_the_largest_message_that_a_topic_declares() -> None:
    kafka = yaml.safe_load(TEXT)["services"]["kafka"]["environment"]
    largest = max(int(topic.config.get("max.message.bytes", 0)) for topic in topics.declared())
    assert int(kafka["KAFKA_MESSAGE_MAX_BYTES"]) >= largest
    assert int(kafka["KAFKA_REPLICA_FETCH_MAX_BYTES"]) >= largest


def test_prometheus_asks_services_that_exist() -> None:
    names = set(yaml.safe_load(TEXT)["services"])
    jobs = yaml.safe_load((PROJECT / "infra/prometheus/prometheus.yml").read_text())["scrape_configs"]
    for job in jobs:
        for group in job.get("static_configs", []):
            assert {target.split(":")[0] for target in group["targets"]} <= names
        for group in job.get("dns_sd_configs", []):
            assert set(group["names"]) <= names
    assert {job["job_name"] for job in jobs} >= {"pinstream", "triton", "milvus", "clickhouse"}


def test_grafana_finds_its_sources_and_dashboards() -> None:
    grafana = yaml.safe_load(TEXT)["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    provisioning = PROJECT / "infra/grafana/provisioning"
    sources = yaml.safe_load((provisioning / "datasources/datasources.yml").read_text())["datasources"]
    boards = yaml.safe_load((provisioning / "dashboards/dashboards.yml").read_text())["providers"]
    assert mounts["./infra/grafana/dashboards"] == boards[0]["options"]["path"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (PROJECT / "infra/grafana/dashboards" / home.name).exists()
    for source in sources:
        assert source.get("url", "").startswith("http://prometheus:") or source["jsonData"]["host"] == "clickhouse"
        for secret in source.get("secureJsonData", {}).values():
            assert secret.removeprefix("$") in grafana["environment"]
        if source["type"] not in ("prometheus",):
            assert source["type"] in grafana["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
