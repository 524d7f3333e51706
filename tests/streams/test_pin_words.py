"""Words of pins in memory, in ClickHouse and back: through the agent, at a restart, and from another worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.migrate import migrate
from operators.accepted import AcceptedPin
from operators.annotations.phrases import phrases
from operators.annotations.words import pin_text
from operators.events import PinEvent
from streams.agents import catalogue
from streams.annotating import columns, describe, look_around
from streams.engine import Engine
from streams.settings import EMBEDDED
from streams.state import HotState
from streams.tail import Folded, Tail, look_up
from streams.text_search import text_search
from streams.understanding import Understanding
from tests.clickhouse_process import EmbeddedServer
from tests.streams.serving import NOW, make_engine, nowhere, pin, records, serving
from training.exact_vectors import ExactVectors

pytestmark = pytest.mark.real


class Heard:
    """What agents emit, kept."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, bytes]] = []

    def send(self, topic: str, key: int, value: bytes) -> None:
        self.sent.append((topic, key, value))

    async def flush(self) -> None:
        pass


@pytest.fixture
async def engine(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    """An engine on empty tables; Kafka is nowhere, vectors are exact and in memory."""
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    made = make_engine(replace(nowhere(tmp_path), clickhouse=EMBEDDED))
    made.outputs = Heard()  # type: ignore[assignment]
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]] * 0.9 + 0.1
    made.vectors = ExactVectors(np.array([1, 2, 3, 4]), vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    made.vector_cache.store = made.vectors
    await migrate(made.events)
    for table in ("pins", "pin_annotations"):
        await made.events.command(f"TRUNCATE TABLE {table}")
    yield made
    await made.events.close()


PINS = [
    pin(1, title="ALTA Dining table", description="Seats six.", board="rustic kitchen"),
    pin(2, title="CORA Dining table", description="Of oak.", link="https://a.org/oak-furniture/17.html"),
    pin(3, title="ELM Floor lamp", description="For the dining room."),
    pin(4, title="Floor lamp"),
    pin(5, title="BRISK Dining table"),
]


async def found(engine: Engine, **asked: float) -> list[int]:
    hits = await text_search(engine, {name.replace("_", " "): weight for name, weight in asked.items()}, 10)
    assert hits.scores.tolist() == sorted(hits.scores.tolist(), reverse=True)
    return hits.pins.tolist()


def held(state: HotState) -> dict[int, tuple[list[int], list[int]]]:
    each = (state.texts.index.words_of(np.array([number])) for number in range(1, 8))
    return {number: (some.words.tolist(), some.fields.tolist()) for number, some in enumerate(each, 1)}


def same(one: HotState, other: HotState) -> None:
    assert held(one) == held(other)
    for events in PINS:
        asked = phrases(np.array(pin_text(events["title"], events.get("description", "")).ids))
        np.testing.assert_array_equal(one.texts.dictionary.counts(asked), other.texts.dictionary.counts(asked))
    assert one.texts.dictionary.pins == other.texts.dictionary.pins


async def restarted(engine: Engine) -> HotState:
    state = HotState()
    await state.load(engine.events)
    return state


async def test_pins_are_found_while_they_come_change_and_go_and_after_a_restart(engine: Engine) -> None:
    await catalogue.handle(engine, records("pins", *PINS))
    assert await found(engine, dining_table=1.0) == [5, 2, 1, 3]
    assert await found(engine, oak=1.0) == [2] and await found(engine, kitchen=1.0) == [1]
    assert await found(engine, floor_lamp=1.0, zeppelin=9.0) == [4, 3]
    assert await found(engine, zeppelin=1.0) == [] == await found(engine)
    same(engine.state, await restarted(engine))
    changed = pin(1, title="ALTA Side table", time=NOW + 1) | {"type": "updated"}
    older = pin(4, title="Zeppelin", time=NOW - 10_000_000)
    gone = {"type": "deleted", "pin": 5, "time": NOW + 1}
    await catalogue.handle(engine, records("pins", changed, older, gone))
    assert await found(engine, dining_table=1.0) == [2, 1, 3]
    assert await found(engine, zeppelin=1.0) == []
    same(engine.state, await restarted(engine))


async def test_what_neighbours_say_is_added_and_finds_the_pin(engine: Engine) -> None:
    await catalogue.handle(engine, records("pins", *PINS, pin(6, title="IMG 4711")))
    vectors = await engine.vectors.fetch("pins", np.array([1]))
    seen = [Understanding(accepted(engine, pin(6, title="IMG 4711")), vectors[1])]
    assert 6 not in await found(engine, dining_table=1.0)
    said = await look_around(engine, seen)
    assert 0.2 < dict(said[6])["dining table"] < 1
    assert 6 in await found(engine, dining_table=1.0)
    same(engine.state, await restarted(engine))
    # Seen again it is the same, and an update ends it until it is seen anew.
    await look_around(engine, seen)
    assert 6 in await found(engine, dining_table=1.0)
    await catalogue.handle(engine, records("pins", pin(6, title="Sunset", time=NOW + 5) | {"type": "updated"}))
    assert 6 not in await found(engine, dining_table=1.0)
    await look_around(engine, seen)  # what was seen in the older version counts no more
    assert 6 not in await found(engine, dining_table=1.0)
    same(engine.state, await restarted(engine))
    await catalogue.handle(engine, records("pins", {"type": "deleted", "pin": 6, "time": NOW + 9}, pin(7)))
    rows = await engine.events.query("SELECT stage, phrases FROM pin_annotations FINAL WHERE pin = 6 ORDER BY stage")
    assert rows["stage"].tolist() == [1, 2] and not any(len(each) for each in rows["phrases"])


async def test_another_worker_follows(engine: Engine) -> None:
    other = HotState()
    mine, engine.state = engine.state, other
    engine.folded = await Folded.load(engine.events)
    tail = Tail(engine)
    engine.state = mine
    await catalogue.handle(engine, records("pins", *PINS))
    engine.state = other
    await engine.events.insert("safety", {"pin": [1, 2], "version": [1, 1], "unsafe": [0.9, None], "model": ["1", ""]})
    await tail.follow([("pins", 0)])
    same(mine, other)
    assert other.safety.above(np.array([1, 2, 3]), 0.8).tolist() == [True, False, False]
    engine.state = third = HotState()
    await look_up(engine, [1, 2, 3, 4, 5])
    same(mine, third)


async def test_the_api_tells_and_finds_and_a_taste_has_its_say(engine: Engine, monkeypatch) -> None:
    await catalogue.handle(engine, records("pins", *PINS))
    assert columns(await describe(engine, [])) == {} == await look_around(engine, [])
    vectors = await engine.vectors.fetch("pins", np.array([2]))
    hits = await text_search(engine, {"dining table": 1.0}, 2, vectors[2])
    assert sorted(hits.pins.tolist()) == [1, 2]
    unknown = await text_search(engine, {"dining table": 1.0}, 2, np.ones(7, np.float32))
    assert unknown.pins.tolist() == [5, 2]
    engine.state.safety.take(np.array([5]), np.ones(1, np.int64), np.array([0.9], np.float32))
    assert (await text_search(engine, {"dining table": 1.0}, 2)).pins.tolist() == [2, 1], "others take its place"
    engine.state.safety.take(np.array([5]), np.ones(1, np.int64), np.array([0.5], np.float32))
    async with serving(engine, monkeypatch) as client:
        said = await (await client.get("/v1/pins/5/annotations")).json()
        assert "dining table" in {each["phrase"] for each in said["annotations"]} and not said["neighbours"]
        assert "home/furniture/tables/dining-tables" in {each["interest"] for each in said["interests"]}
        assert (await client.get("/v1/pins/99/annotations")).status == 404
        answer = await (await client.get("/v1/search?q=Dining%20TABLE&n=3&pinner=somebody")).json()
        assert [each["pin"] for each in answer["items"]] == [5, 2, 1] and not answer["personal"]
        for wrong in ("", "?q=", "?q=a&n=0", "?q=a&pinner=", "?q=a&page=2"):
            assert (await client.get(f"/v1/search{wrong}")).status == 400


def accepted(engine: Engine, event: dict[str, Any]) -> AcceptedPin:
    return catalogue._accepted(engine, [PinEvent(**event)])[0]
