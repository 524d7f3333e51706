"""The API with every outside part gone: what it answers from memory, and how it says no."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import jsonschema
import openapi_spec_validator
import pytest
from prometheus_client.parser import text_string_to_metric_families

from streams.api import feed, openapi
from streams.api.server import ApiServer
from streams.engine import Engine
from streams.ladder import rung
from streams.opening import close_engine
from streams.settings import PROJECT
from tests.streams.serving import NOW, free_port, make_engine, nowhere, pin, remember, serving


@pytest.fixture
async def engine(tmp_path: Path):
    engine = make_engine(nowhere(tmp_path))
    remember(engine.state, "pins", *(pin(number) for number in range(1, 31)))
    remember(engine.state, "pins", pin(31), pin(31, type="deleted", time=NOW))
    remember(engine.state, "saves", {"pinner": 7, "pin": 2, "board": 50, "time": NOW - 4000})
    yield engine
    await close_engine(engine)


async def problem(response: aiohttp.ClientResponse, status: int, kind: str) -> dict:
    """The problem document of a response, checked for all that RFC 9457 wants."""
    body = await response.json(content_type="application/problem+json")
    assert (response.status, body["status"], body["type"]) == (status, status, f"urn:pinstream:problem:{kind}")
    assert body["title"] and body["detail"] and body["instance"] == response.url.raw_path_qs
    return body


def fits(body: object, name: str) -> None:
    """Does this answer fit its schema in the OpenAPI document?"""
    document = openapi.document()
    jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", **document}).validate(body)


async def test_a_feed_comes_from_memory_and_names_what_is_missing(client: aiohttp.ClientSession):
    async with client.get("/v1/feed/7?n=5") as response:
        body = await response.json()
    assert response.status == 200
    fits(body, "Feed")
    assert len(body["items"]) == 5
    assert not {2, 31} & {item["pin"] for item in body["items"]}, "saved and deleted pins are not shown"
    assert "ranker" in body["degraded"]
    assert body["trigger_age_ms"] == body["now"] - (NOW - 4000)


async def test_somebody_unknown_gets_a_feed_too(client: aiohttp.ClientSession):
    async with client.get("/v1/feed/who-is-this") as response:
        body = await response.json()
    assert response.status == 200 and body["items"] and body["trigger_age_ms"] is None


async def test_related_pins_go_out_without_milvus(client: aiohttp.ClientSession):
    async with client.get("/v1/pins/4/related") as response:
        body = await response.json()
    fits(body, "Related")
    assert body["degraded"] == ["visual"]
    assert {item["pin"] % 2 for item in body["items"]} == {0}, "pins of the same board"
    assert 4 not in {item["pin"] for item in body["items"]}


async def test_related_by_milvus_alone_is_unavailable_without_it(client: aiohttp.ClientSession):
    async with client.get("/v1/pins/4/related?sources=visual") as response:
        assert int(response.headers["Retry-After"]) >= 1
        await problem(response, 503, "unavailable")


@pytest.mark.parametrize("path", ["/v1/pins/1", "/v1/stats/pins/1", "/v1/stats/pinners/7", "/v1/stats/domains/a.com"])
async def test_counts_are_unavailable_without_clickhouse(client: aiohttp.ClientSession, path: str):
    async with client.get(path) as response:
        body = await problem(response, 503, "unavailable")
    assert body["part"] == "clickhouse"


async def test_an_event_is_refused_without_kafka(client: aiohttp.ClientSession):
    save = {"pinner": 1, "pin": 2, "board": 3, "time": NOW}
    async with client.post("/v1/events/saves", json=save) as response:
        body = await problem(response, 503, "unavailable")
    assert body["part"] == "kafka" and response.headers["Retry-After"] == "5"


async def test_alive_but_not_ready(client: aiohttp.ClientSession):
    async with client.get("/health") as response:
        assert response.status == 200
    async with client.get("/ready") as response:
        body = await problem(response, 503, "not-ready")
    assert body["rung"] == "memory"
    assert set(body["parts"]) == {"clickhouse", "kafka", "milvus", "triton"}
    assert "up" not in body["parts"].values()


@pytest.mark.parametrize(
    ("up", "expected"),
    [
        ({"clickhouse", "kafka", "milvus", "triton"}, "whole"),
        ({"clickhouse", "kafka", "milvus"}, "unranked"),
        ({"clickhouse", "kafka", "triton"}, "no-neighbours"),
        ({"clickhouse", "milvus", "triton"}, "memory"),
        (set(), "memory"),
    ],
)
def test_the_ladder(up: set[str], expected: str):
    assert rung(frozenset(up)) == expected


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/", 404, "not-found"),
        ("/v1/nothing", 404, "not-found"),
        ("/v1/pins/999", 404, "not-found"),
        ("/v1/pins/31", 410, "deleted"),
        ("/v1/pins/31/related", 410, "deleted"),
        ("/v1/feed/7?n=0", 400, "invalid-parameter"),
        ("/v1/feed/7?n=101", 400, "invalid-parameter"),
        ("/v1/feed/7?n=five", 400, "invalid-parameter"),
        ("/v1/feed/7?n=5&n=6", 400, "invalid-parameter"),
        ("/v1/feed/7?m=5", 400, "invalid-parameter"),
        ("/v1/feed/" + "x" * 600, 400, "invalid-parameter"),
        ("/v1/pins/4/related?sources=visual,telepathy", 400, "invalid-parameter"),
        ("/v1/stats/pins/1?hours=-1", 400, "invalid-parameter"),
        ("/v1/stats/domains/%20", 400, "invalid-parameter"),
    ],
)
async def test_bad_requests_are_explained(client: aiohttp.ClientSession, path: str, status: int, kind: str):
    async with client.get(path) as response:
        await problem(response, status, kind)


async def test_a_wrong_method_says_which_is_right(client: aiohttp.ClientSession):
    async with client.delete("/v1/feed/7") as response:
        await problem(response, 405, "method-not-allowed")
        assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("topic", "kind", "body", "status", "expected"),
    [
        ("nothing", "application/json", "{}", 404, "not-found"),
        ("pins.accepted", "application/json", "{}", 404, "not-found"),
        ("saves", "text/plain", "{}", 415, "media-type"),
        ("saves", "application/json", "", 400, "invalid-body"),
        ("saves", "application/json", "[]", 400, "invalid-body"),
        ("saves", "application/json", "[{]", 400, "invalid-body"),
        ("saves", "application/json", "[" + "1," * 10_000 + "1]", 400, "invalid-body"),
        ("saves", "application/json", "nonsense", 422, "invalid-event"),
        ("saves", "application/json", "[" * 5000, 400, "invalid-body"),
        ("saves", "application/x-ndjson", "{}\n{}\n", 422, "invalid-event"),
    ],
)
async def test_bad_events_are_explained(
    client: aiohttp.ClientSession, topic: str, kind: str, body: str, status: int, expected: str
):
    async with client.post(f"/v1/events/{topic}", data=body, headers={"Content-Type": kind}) as response:
        await problem(response, status, expected)


async def test_every_bad_event_is_named(client: aiohttp.ClientSession):
    bad = [{"pinner": 1, "pin": 2, "time": NOW}, {"pinner": "", "pin": 2, "board": 3, "time": NOW}]
    async with client.post("/v1/events/saves", json=bad) as response:
        body = await problem(response, 422, "invalid-event")
    assert [(one["index"], one["reason"]) for one in body["results"]] == [(0, "missing_field"), (1, "bad_id")]


async def test_too_large_a_body_is_refused(client: aiohttp.ClientSession):
    huge = b" " * (17 << 20)
    async with client.post("/v1/events/pins", data=huge, headers={"Content-Type": "application/json"}) as response:
        await problem(response, 413, "too-large")


async def test_metrics_are_prometheus_text(client: aiohttp.ClientSession, engine: Engine):
    engine.metrics.events("saves", counted=3, duplicate=1)
    async with client.get("/metrics") as response:
        families = {one.name: one for one in text_string_to_metric_families(await response.text())}
    samples = families["pinstream_events"].samples
    counted = {(sample.labels["topic"], sample.labels["outcome"]): sample.value for sample in samples}
    assert counted["saves", "counted"] == 3 and counted["saves", "duplicate"] == 1 and counted["pins", "counted"] == 0


async def test_every_answer_is_counted_by_route(client: aiohttp.ClientSession, engine: Engine):
    for path in ("/health", "/v1/pins/1", "/v1/pins/2", "/v1/pins/x", "/v1/nothing", "/v1/nothing%00"):
        async with client.get(path) as response:
            await response.read()
    async with client.post("/health") as response:
        assert response.status == 405
    reader, writer = await asyncio.open_connection("127.0.0.1", client._base_url.port)
    writer.write(b"GET\r\n\r\n")
    assert b" 400 " in await reader.readline()
    writer.close()
    samples = [one for family in engine.metrics.registry.collect() for one in family.samples]
    counted = {
        (one.labels["route"], one.labels["status"]): one.value
        for one in samples
        if one.name == "pinstream_requests_total"
    }
    # Two pins that ClickHouse is gone for, and an id that cannot be one; two unknown paths, a wrong method, no HTTP.
    assert counted == {
        ("/health", "200"): 1, ("/v1/pins/{pin}", "503"): 2, ("/v1/pins/{pin}", "404"): 1,
        ("", "404"): 2, ("", "405"): 1, ("", "400"): 1,
    }  # fmt: skip


async def test_engines_do_not_share_metrics(tmp_path: Path, engine: Engine):
    other = make_engine(nowhere(tmp_path))
    engine.metrics.understood(5, 9)
    assert b"pinstream_objects_total 9.0" in engine.metrics.exposition()
    assert b"pinstream_objects_total 0.0" in other.metrics.exposition()


async def test_every_answer_has_security_headers(client: aiohttp.ClientSession):
    for path in ("/health", "/v1/nothing", "/metrics"):
        async with client.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            assert "Access-Control-Allow-Origin" not in response.headers
            assert "aiohttp" not in response.headers["Server"]


async def test_a_page_that_rebinds_its_name_is_refused(client: aiohttp.ClientSession):
    async with client.get("/v1/feed/7", headers={"Host": "evil.example"}) as response:
        await problem(response, 421, "misdirected")
    for name in ("localhost", "127.0.0.1:29008", "[::1]:29008"):
        async with client.get("/health", headers={"Host": name}) as response:
            assert response.status == 200, name


async def test_it_does_not_listen_beyond_this_machine_without_a_token(tmp_path: Path):
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.com"):
        with pytest.raises(ValueError, match="PINSTREAM_API_TOKEN"):
            ApiServer(make_engine(nowhere(tmp_path, host=host)))
    ApiServer(make_engine(nowhere(tmp_path, host="0.0.0.0", api_token="secret")))


async def test_with_a_token_every_v1_route_needs_it(tmp_path: Path, monkeypatch):
    async with serving(make_engine(nowhere(tmp_path, api_token="a sécret")), monkeypatch) as client:
        for path in ("/v1/feed/7", "/v1/nothing", "/v1/openapi.json", "/v1/pins/1"):
            for header in (None, "Bearer wrong", "a sécret", "Basic a sécret", "Bearer a sécret "):
                headers = {"Authorization": header} if header else {}
                async with client.get(path, headers=headers) as response:
                    if header == "Bearer a sécret ":  # HTTP strips white space around a header
                        assert response.status != 401
                        continue
                    await problem(response, 401, "unauthorized")
                    assert response.headers["WWW-Authenticate"].startswith("Bearer")
        async with client.get("/v1/feed/7", headers={"Authorization": "Bearer a sécret"}) as response:
            assert response.status == 200
        async with client.get("/health", headers={"Host": "feeds.example"}) as response:
            assert response.status == 200


async def test_a_taken_port_is_told(engine: Engine, client: aiohttp.ClientSession):
    with pytest.raises(OSError, match="PINSTREAM_PORT_API"):
        await ApiServer(engine).start()


async def test_openapi_describes_every_route_and_is_committed(client: aiohttp.ClientSession):
    async with client.get("/v1/openapi.json") as response:
        served = await response.json()
    committed = json.loads((PROJECT / "docs" / "openapi.json").read_text())
    assert committed == served, "run `python -m streams.api.openapi`"


def test_openapi_is_valid():
    openapi_spec_validator.validate(openapi.document())


async def test_openapi_and_the_routes_agree(engine: Engine):
    app = ApiServer(engine)._runner.app
    routes = {
        (route.method.lower(), route.resource.canonical) for route in app.router.routes() if route.method != "HEAD"
    }
    described = {(method, path) for path, methods in openapi.document()["paths"].items() for method in methods}
    assert routes == described


async def test_stopping_lets_requests_finish(engine: Engine, monkeypatch):
    arrived, build = asyncio.Event(), feed.build

    async def slowly(*arguments) -> feed.Feed:
        arrived.set()
        await asyncio.sleep(0.3)
        return await build(*arguments)

    monkeypatch.setattr(feed, "build", slowly)
    port = free_port()
    monkeypatch.setenv("PINSTREAM_PORT_API", str(port))
    server = ApiServer(engine)
    await server.start()
    async with aiohttp.ClientSession() as client:
        asked = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/v1/feed/7"))
        await arrived.wait()
        await server.stop()
        async with await asked as response:
            assert response.status == 200 and (await response.json())["items"]
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(f"http://127.0.0.1:{port}/health")
