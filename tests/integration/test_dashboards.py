"""Every panel of every dashboard asks the real ClickHouse or a real Prometheus, and gets what it draws."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from infra import ports
from infra.grafana import dashboards
from streams.metrics import Metrics
from streams.settings import PROJECT, Settings
from tests.conftest import free_base
from tests.integration.dashboards_data import DATABASE, store_rows, working_engine, working_parts

pytestmark = pytest.mark.real
PROMETHEUS = PROJECT / "infra" / "prometheus"
#: Seconds between scrapes here, and the window that Grafana would choose for it.
SCRAPE, WINDOW, PATIENCE = "1s", "5s", 60.0


class Query(NamedTuple):
    board: str
    panel: dict[str, Any]
    target: dict[str, Any]

    @property
    def source(self) -> str:
        return self.target["datasource"]["uid"]


def queries() -> list[Query]:
    """Every query of the committed dashboards."""
    return [
        Query(name, panel, target)
        for name in dashboards.DASHBOARDS
        for panel in json.loads((dashboards.FOLDER / f"{name}.json").read_text())["panels"]
        for target in panel["targets"]
    ]


def name_of(query: Query) -> str:
    return f"{query.board}: {query.panel['title']} {query.target['refId']}"


STORED = [query for query in queries() if query.source == "clickhouse"]
MEASURED = [query for query in queries() if query.source == "prometheus"]


@pytest.mark.parametrize("name", dashboards.DASHBOARDS)
def test_the_committed_json_is_what_the_code_builds(name: str) -> None:
    committed = (dashboards.FOLDER / f"{name}.json").read_text()
    assert committed == dashboards.text(name), "run `python -m infra.grafana.dashboards`"


def test_every_panel_has_a_query_and_says_what_it_shows() -> None:
    assert len(STORED) + len(MEASURED) == len(queries()), "a query names an unknown data source"
    provisioned = yaml.safe_load((PROJECT / "infra/grafana/provisioning/datasources/datasources.yml").read_text())
    assert {source["uid"] for source in provisioned["datasources"]} == {query.source for query in queries()}
    for name in dashboards.DASHBOARDS:
        panels = json.loads(dashboards.text(name))["panels"]
        assert len({panel["title"] for panel in panels}) == len(panels)
        assert all(panel["targets"] and panel["description"].endswith(".") for panel in panels)


@pytest.fixture(scope="module")
def stored(clickhouse: Settings) -> tuple[str, int]:
    """Where ClickHouse is, and the time of the rows in it, milliseconds."""
    now = int(time.time() * 1000)
    store_rows(clickhouse, now)
    return clickhouse.clickhouse_http, now


@pytest.mark.parametrize("query", STORED, ids=name_of)
def test_a_panel_over_clickhouse_finds_its_fields(stored: tuple[str, int], query: Query) -> None:
    address, now = stored
    sql = query.target["rawSql"].replace("$__from", str(now - 86_400_000)).replace("$__to", str(now + 60_000))
    assert "$__" not in sql
    answer = _clickhouse(address, sql)
    kinds = {column["name"]: column["type"] for column in answer["meta"]}
    assert answer["rows"] > 0
    assert _drawn(query.panel) <= set(kinds)
    numbers = [name for name, kind in kinds.items() if re.search(r"Int|Float", kind)]
    assert numbers, "nothing to draw"
    if query.target["queryType"] == "timeseries":
        assert sum("DateTime" in kind for kind in kinds.values()) == 1, "one column is the time"
        assert len(kinds) == len(numbers) + 1
    for name in numbers:
        # JavaScript cannot hold 64-bit ids: they are text.
        assert all(abs(float(row[name] or 0)) < 2**53 for row in answer["data"]), name
    assert any(float(row[name] or 0) != 0 for row in answer["data"] for name in numbers)


def _drawn(panel: dict[str, Any]) -> set[str]:
    """The fields that a panel names."""
    named = {override["matcher"]["options"] for override in panel["fieldConfig"]["overrides"]}
    return named | {panel["options"]["xField"]} if panel["type"] == "barchart" else named


def _clickhouse(address: str, sql: str) -> dict[str, Any]:
    parameters = urllib.parse.urlencode({"database": DATABASE})
    request = urllib.request.Request(f"{address}/?{parameters}", data=f"{sql}\nFORMAT JSON".encode())
    request.add_header("Content-Type", "text/plain")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        pytest.fail(error.read().decode())


@pytest.fixture(scope="session")  # as the parts are, or they would start before it
def binary() -> str:
    """Asked for first: without Prometheus no part need start."""
    found = shutil.which("prometheus")
    if found is None:
        pytest.skip("no Prometheus here: install Debian's package prometheus")
    return found


@pytest.fixture(scope="module")
def prometheus(
    binary: str, triton: Settings, milvus: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A real Prometheus with our configuration, its targets replaced by an engine at work and the real parts."""
    settings = triton
    # Apart from the session's own, where a worker may run.
    engine_port = free_base()
    port = engine_port + 1
    targets = {
        "pinstream": f"127.0.0.1:{engine_port}",
        "triton": f"127.0.0.1:{settings.port('triton_metrics')}",
        "milvus": f"127.0.0.1:{settings.port('milvus_metrics')}",
    }
    folder = tmp_path_factory.mktemp("prometheus")
    command = [
        binary,
        f"--config.file={_configuration(folder, targets)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    assert ports.is_free("127.0.0.1", port)
    with working_engine(engine_port), working_parts(settings), (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _configuration(folder: Path, targets: dict[str, str]) -> Path:
    shutil.copy(PROMETHEUS / "alerts.yml", folder)
    configuration = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    configuration["global"] |= {"scrape_interval": SCRAPE, "evaluation_interval": SCRAPE}
    jobs = [job for job in configuration["scrape_configs"] if job["job_name"] in targets]
    assert len(jobs) == len(targets)
    for job in jobs:
        job.pop("dns_sd_configs", None)
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    configuration["scrape_configs"] = jobs
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration))
    return file


@pytest.mark.parametrize("query", MEASURED, ids=name_of)
def test_a_panel_over_prometheus_finds_its_series(prometheus: str, query: Query) -> None:
    expression = query.target["expr"].replace("$__rate_interval", WINDOW)
    assert "$__" not in expression
    has_gpu = shutil.which("nvidia-smi") is not None
    until = time.monotonic() + (PATIENCE if has_gpu or "nv_gpu_" not in expression else 0)
    while not (drawn := _series(prometheus, expression)) and time.monotonic() < until:
        time.sleep(0.5)
    if "nv_gpu_" in expression and not has_gpu:
        pytest.skip("no GPU here; Prometheus took the query")
    assert drawn, f"{expression} gives no number"
    labels = set(re.findall(r"{{(\w+)}}", query.target["legendFormat"]))
    for series in drawn:
        assert labels <= set(series["metric"]), f"the legend names {labels}, the series has {series['metric']}"
    if "{{" not in query.target["legendFormat"]:
        assert len(drawn) == 1, "lines that look the same"


def _series(address: str, expression: str) -> list[dict[str, Any]]:
    """The series that have a number just now."""
    now = time.time()
    parameters = urllib.parse.urlencode({"query": expression, "start": now - 10, "end": now, "step": 1})
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query_range?{parameters}", timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        pytest.fail(error.read().decode())
    except OSError:  # not up yet
        return []
    return [series for series in found if any(value != "NaN" for _, value in series["values"])]


def test_every_metric_of_the_engine_that_a_query_or_alert_names_exists() -> None:
    exposed = set(re.findall(r"^# TYPE (\w+)", Metrics().exposition().decode(), re.MULTILINE))
    asked = [query.target["expr"] for query in MEASURED] + [(PROMETHEUS / "alerts.yml").read_text()]
    for name in set(re.findall(r"\bpinstream_\w+", "\n".join(asked))):
        assert re.sub(r"_(bucket|count|sum)$", "", name) in exposed, name


def test_promtool_accepts_configuration_and_alerts_and_they_fire_when_they_should() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here: install Debian's package prometheus")
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts.test.yml"]):
        done = subprocess.run([promtool, *arguments], cwd=PROMETHEUS, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    rules = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]
    tested = yaml.safe_load((PROMETHEUS / "alerts.test.yml").read_text())["tests"]
    fired = {check["alertname"] for test in tested for check in test["alert_rule_test"] if check.get("exp_alerts")}
    silent = {check["alertname"] for test in tested for check in test["alert_rule_test"] if not check.get("exp_alerts")}
    assert fired == silent == {rule["alert"] for rule in rules}, "each alert is seen to fire and to stay silent"
