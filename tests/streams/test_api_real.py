"""The API over real Kafka, ClickHouse and Milvus, filled by the engine's own agents; Triton is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, TopicPartition

from infra.migrate import migrate
from operators.accepted import AcceptedPin
from streams.agents import catalogue, pinners
from streams.cli import feed, interests, related, stats
from streams.commit import commit_engagement
from streams.engine import Engine
from streams.opening import close_engine
from streams.outputs import client_config
from streams.settings import Settings
from streams.stores.protocols import Detection
from streams.understanding import SeenObject, Understanding, record
from tests.streams.serving import NOW, free_port, make_engine, pin, records, serving
from tests.streams.test_api import fits, problem

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

#: Ids that no other test of the session uses.
BASE = 7_000_000
PINNER, OWNER = BASE + 7, BASE + 900
HOUR = 3_600_000


def own_pin(number: int) -> dict:
    return pin(BASE + number, pinner=OWNER, board=BASE + number % 2, title=f"Chair {number}", time=NOW - number)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(kafka: Settings, clickhouse: Settings, milvus_apart: Callable[[str], Settings]):
    """Twelve pins on two boards, on a circle as vectors, with some engagement."""
    engine = make_engine(replace(milvus_apart("api"), triton=f"127.0.0.1:{free_port()}"))
    await migrate(engine.events)
    events = [own_pin(number) for number in range(1, 13)]
    await catalogue.handle(engine, records("pins", *events))
    angles = np.linspace(0, 1, len(events))
    await record(
        engine,
        [
            Understanding(
                AcceptedPin(pin=event["pin"], version=event["time"], deleted=False, pinner=OWNER, board=0),
                unit(angle),
                [SeenObject(event["pin"] * 10, Detection("chair", 0.9, (0.1, 0.2, 0.5, 0.75)), unit(angle))],
            )
            for event, angle in zip(events, angles, strict=True)
        ],
        "1",
    )
    shown = {"pinner": PINNER, "surface": "home"}
    impressions = [shown | {"pin": BASE + 1, "position": place, "time": NOW + place} for place in range(4)]
    impressions.append(shown | {"pin": BASE + 1, "position": 0, "time": NOW + 3 * HOUR})
    await commit_engagement(engine, records("impressions", *impressions))
    await commit_engagement(
        engine, records("saves", {"pinner": PINNER, "pin": BASE + 1, "board": BASE + 5, "time": NOW + 100})
    )
    await commit_engagement(
        engine, records("clicks", {"type": "outbound", "pinner": PINNER, "pin": BASE + 1, "time": NOW + 200})
    )
    await engine.writer.run(lambda: True)  # write what waits, then stop
    yield engine
    await close_engine(engine)


@pytest_asyncio.fixture(loop_scope="module")
async def client(engine: Engine, monkeypatch):
    async with serving(engine, monkeypatch) as client:
        yield client


def unit(angle: float) -> np.ndarray:
    """A vector at an angle (radians) in the dimension that the encoder has."""
    vector = np.zeros(256, np.float32)
    vector[:2] = np.cos(angle), np.sin(angle)
    return vector


async def get(client: aiohttp.ClientSession, path: str, schema: str) -> dict:
    """The answer to a good request, held against the OpenAPI document."""
    async with client.get(path) as response:
        assert response.status == 200, await response.text()
        body = await response.json()
    fits(body, schema)
    return body


async def test_a_pin_with_its_objects_and_counts(client: aiohttp.ClientSession):
    body = await get(client, f"/v1/pins/{BASE + 1}", "Pin")
    assert (body["title"], body["domain"], body["pinner"]) == ("Chair 1", "example.com", OWNER)
    assert body["understood"]
    [seen] = body["objects"]
    assert seen["label"] == "chair" and seen["box"] == pytest.approx([0.1, 0.2, 0.5, 0.75])
    assert body["stats"]["totals"]["impressions"] == 5 and body["stats"]["totals"]["engagement"] == 2


async def test_stats_add_up(client: aiohttp.ClientSession):
    body = await get(client, f"/v1/stats/pins/{BASE + 1}", "PinStats")
    assert body["totals"] == {
        "impressions": 5, "closeups": 0, "outbound_clicks": 1, "saves": 1, "hides": 0, "engagement": 2
    }  # fmt: skip
    assert body["rates"]["saves"] == pytest.approx(0.2) and body["rates"]["engagement"] == pytest.approx(0.4)
    assert [hour["impressions"] for hour in body["hours"]] == [4, 1]
    assert body["hours"][1]["time"] - body["hours"][0]["time"] == 3 * HOUR
    assert body["quality"]["exposure"] > 0

    latest = await get(client, f"/v1/stats/pins/{BASE + 1}?hours=1", "PinStats")
    assert [hour["impressions"] for hour in latest["hours"]] == [1] and latest["totals"] == body["totals"]

    pinner = await get(client, f"/v1/stats/pinners/{PINNER}", "PinnerStats")
    assert pinner["given"]["totals"]["saves"] == 1 and pinner["received"]["totals"]["saves"] == 0
    owner = await get(client, f"/v1/stats/pinners/{OWNER}", "PinnerStats")
    assert owner["received"]["totals"]["saves"] == 1 and owner["given"]["totals"]["saves"] == 0

    domain = await get(client, "/v1/stats/domains/WWW.Example.com", "DomainStats")
    assert domain["domain"] == "example.com" and domain["totals"]["saves"] >= 1

    nobody = await get(client, "/v1/stats/pinners/nobody-at-all", "PinnerStats")
    assert nobody["given"]["totals"]["impressions"] == 0 and nobody["given"]["rates"]["saves"] is None


async def test_related_by_looks_by_boards_and_by_both(client: aiohttp.ClientSession):
    path = f"/v1/pins/{BASE + 1}/related"
    looks = await get(client, f"{path}?sources=visual&n=3", "Related")
    assert [item["pin"] - BASE for item in looks["items"]] == [2, 3, 4], "neighbours on the circle, nearest first"
    boards = await get(client, f"{path}?sources=boards", "Related")
    assert {item["pin"] - BASE for item in boards["items"]} == {3, 5, 7, 9, 11}, "the pins of its board"
    both = await get(client, f"{path}?n=1&sources=visual,boards", "Related")
    assert both["items"][0]["pin"] - BASE == 3 and set(both["items"][0]["sources"]) == {"visual", "boards"}
    assert not both["degraded"]


async def test_a_feed_without_triton(client: aiohttp.ClientSession):
    body = await get(client, f"/v1/feed/{PINNER}?n=5", "Feed")
    assert len(body["items"]) == 5 and BASE + 1 not in {item["pin"] for item in body["items"]}
    assert "ranker" in body["degraded"] and "source.visual" not in body["degraded"]
    assert body["trigger_age_ms"] is not None and body["trigger_age_ms"] >= 0


async def test_ready_says_what_is_missing(client: aiohttp.ClientSession):
    body = await get(client, "/ready", "Readiness")
    assert body["rung"] == "unranked" and body["parts"]["triton"] != "up"
    assert [body["parts"][part] for part in ("clickhouse", "kafka", "milvus")] == ["up"] * 3


async def test_posted_events_are_in_kafka(client: aiohttp.ClientSession, engine: Engine):
    good = {"pinner": f"somebody-{free_port()}", "pin": 5, "board": 6, "time": NOW}
    bad = {"pinner": 1, "pin": 5, "time": NOW}
    async with client.post("/v1/events/saves", json=[good, bad]) as response:
        body = await response.json()
    assert response.status == 202
    fits(body, "Receipt")
    assert [one["status"] for one in body["results"]] == ["accepted", "rejected"]
    assert body["results"][1]["reason"] == "missing_field"
    values = consumed(engine.settings, "saves")
    assert sum(good["pinner"].encode() in value for value in values) == 1

    lines = f'{{"pinner":"{good["pinner"]}-2","pin":1,"board":2,"time":{NOW}}}\n'
    headers = {"Content-Type": "application/x-ndjson"}
    async with client.post("/v1/events/saves", data=lines * 2, headers=headers) as response:
        assert (await response.json())["accepted"] == 2
    values = consumed(engine.settings, "saves")
    assert values.count(lines.strip().encode()) == 2, "values arrive byte for byte"


def consumed(settings: Settings, topic: str) -> list[bytes]:
    """Every value of a topic, as it is in Kafka now."""
    consumer = Consumer({**client_config(settings), "group.id": "api-tests", "enable.partition.eof": True})
    partitions = consumer.list_topics(topic).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    values: list[bytes] = []
    ended = 0
    while ended < len(partitions):
        message = consumer.poll(10)
        assert message is not None, "Kafka does not answer"
        if message.error():
            ended += 1
        else:
            values.append(message.value() or b"")
    consumer.close()
    return values


async def test_the_command_line_asks_the_api(client: aiohttp.ClientSession):
    def run(command, *arguments: str) -> Result:
        return CliRunner().invoke(command, list(arguments))

    shown = await asyncio.to_thread(run, feed.command, str(PINNER), "-n", "5", "--explain")
    assert shown.exit_code == 0, shown.output
    assert "Made without: ranker" in shown.output and "Place 1 of 5" in shown.output
    shown = await asyncio.to_thread(run, related.command, str(BASE + 1), "--sources", "boards")
    assert shown.exit_code == 0 and str(BASE + 3) in shown.output and "boards" in shown.output
    for kind, name in (("pin", str(BASE + 1)), ("pinner", str(PINNER)), ("domain", "example.com")):
        shown = await asyncio.to_thread(run, stats.command, kind, name)
        assert shown.exit_code == 0 and "quality" in shown.output and "outbound_clicks" in shown.output, shown.output
    shown = await asyncio.to_thread(run, related.command, "12345678")
    assert shown.exit_code == 1 and "No pin 12345678" in shown.output


async def test_the_command_line_says_when_no_worker_runs(monkeypatch):
    monkeypatch.setenv("PINSTREAM_PORT_API", str(free_port()))
    shown = CliRunner().invoke(feed.command, ["1"])
    assert shown.exit_code == 1 and "pinstream worker" in shown.output


async def test_an_unknown_pin_is_a_problem(client: aiohttp.ClientSession):
    async with client.get(f"/v1/pins/{BASE + 999}") as response:
        await problem(response, 404, "not-found")


async def test_a_new_pinner_with_topics_gets_a_personal_slate(engine: Engine, client: aiohttp.ClientSession):
    new = BASE + 55
    async with client.get(f"/v1/pinners/{new}/interests") as response:
        await problem(response, 404, "not-found")
    nobody = await get(client, f"/v1/feed/{new}?n=5", "Feed")
    assert not any("topics" in item["sources"] for item in nobody["items"])
    signed_up = {"type": "signed_up", "pinner": new, "interests": ["Dining  chair", "gardening"], "time": NOW}
    await pinners.handle(engine, records("pinners", signed_up))
    slate = await get(client, f"/v1/feed/{new}?n=5", "Feed")
    assert "popular" not in slate["fallback"] and len(slate["items"]) == 5
    assert all("topics" in item["sources"] and BASE < item["pin"] <= BASE + 12 for item in slate["items"])

    before = await get(client, f"/v1/pinners/{new}/interests", "PinnerInterests")
    assert before["chosen"] == {"topics": ["Dining chair", "gardening"], "since": NOW}
    assert before["medoids"] == before["topics"] == before["degraded"] == []
    said = await asyncio.to_thread(CliRunner().invoke, interests.command, [str(new)])
    assert said.exit_code == 0 and "gardening" in said.output
