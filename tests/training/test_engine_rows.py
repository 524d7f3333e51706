"""Rows from what a running engine logged: the features that were served, and the labels that came in time."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.migrate import migrate
from infra.models_environment import ENVIRONMENT
from operators.events import Kind
from operators.slate.rows import rows as slate_rows
from operators.slate.slate import Item, Probabilities, Slate, with_features
from streams.settings import Settings
from streams.slate_spec import shipped
from streams.stores.clickhouse_http import ClickHouseHTTP
from tests.clickhouse_process import EmbeddedServer
from training.engine_rows import Found, engine_rows, prequential
from training.ranker_from_engine import NothingLearned, train

pytestmark = pytest.mark.real
START, HOUR = 1_760_000_000_000, 3_600_000
DAY = 24 * HOUR
#: The clock's time of an event, as if all were replayed long after: slates are emitted by it, Kafka's times are of it.
LATER = 90 * DAY
SPEC, WIDTH = shipped().version, len(shipped().names)
Event = tuple[int, int, int, Kind, int, int]  # slate, pinner, pin, kind, time, position


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "clickhouse") as started:
        yield started


def slate(number: int, time: int, pins: Sequence[int], seen: np.ndarray | None, spec: str = SPEC) -> Slate:
    made = Slate(
        slate=number, pinner=5, trigger_event=number, now=time, trigger_logged=time + LATER, emitted=time + LATER,
        seed=1,
        items=[Item(pin, 0.5, {"fresh": 1.0}, Probabilities(0.1, 0.2, 0.3, 0.4)) for pin in pins],
        models={"ranker": "1", "spec": spec},
    )  # fmt: skip
    return made if seen is None else with_features(made, seen)


async def write(store: ClickHouseHTTP, slates: Sequence[Slate], events: Sequence[Event]) -> None:
    await migrate(store)
    await store.insert("slates", slate_rows(slates))
    n = len(events)
    columns = {name: [event[at] for event in events] for at, name in enumerate(("slate", "pinner", "pin"))}
    zeros = dict.fromkeys(
        ("partition", "first", "block", "board", "owner", "domain", "is_follower", "surface"), [0] * n
    )
    columns |= zeros | {
        "topic": ["clicks"] * n, "last": [n - 1] * n, "offset": list(range(n)), "event_id": list(range(1, n + 1)),
        "kind": [int(event[3]) for event in events], "time": [event[4] for event in events],
        "logged": [event[4] + LATER for event in events], "position": [event[5] for event in events],
    }  # fmt: skip
    await store.insert("engagement", columns, token="t")


def found(server: EmbeddedServer, slates: Sequence[Slate], events: Sequence[Event], days: int = 3) -> Found:
    async def both() -> Found:
        store = ClickHouseHTTP(server.url)
        await write(store, slates, events)
        try:
            return await engine_rows(store, SPEC, WIDTH, days=days, window=6 * HOUR, say=lambda _: None)
        finally:
            await store.close()

    return asyncio.run(both())


def test_rows_have_what_was_served_and_the_actions_that_came_in_time(server: EmbeddedServer) -> None:
    seen = np.random.default_rng(0).normal(size=(3, WIDTH)).astype(np.float32)
    late, end = START + 9 * HOUR, START + 10 * HOUR
    slates = [
        slate(1, START, [11, 12, 13], seen),
        slate(2, START + HOUR, [11], seen[:1], spec="another"),
        slate(3, START + HOUR, [11], None),
        slate(4, late, [11], seen[:1]),
    ]
    events = [
        (1, 5, 11, Kind.IMPRESSION, START + 10, 0),
        (1, 5, 12, Kind.IMPRESSION, START + 20, 1),
        (1, 5, 12, Kind.SAVE, START + 5 * HOUR, -1),
        (1, 5, 11, Kind.HIDE, START + 7 * HOUR, -1),  # after the window
        (1, 5, 12, Kind.CLOSEUP, START + HOUR, -1),
        (9, 5, 11, Kind.SAVE, START + HOUR, -1),  # of another slate
        (2, 5, 11, Kind.IMPRESSION, START + HOUR, 0),
        (3, 5, 11, Kind.IMPRESSION, START + HOUR, 0),
        (4, 5, 11, Kind.IMPRESSION, late + 1, 0),  # its window is not over
        (8, 5, 11, Kind.CLOSEUP, end, -1),
    ]
    rows, bare, other = found(server, slates, events)
    assert (bare, other) == (1, 1)
    assert rows["pin"].tolist() == [11, 12]  # 13 was never looked at
    assert np.array_equal(rows["features"], seen[:2])  # the bits that were served
    assert rows["labels"].tolist() == [[False] * 4, [True, True, False, False]]
    assert rows["examination"].tolist() == pytest.approx([1, 2**-0.5])
    assert rows["served"][0].tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert rows["time"].tolist() == [START + 10] * 2


def test_later_events_change_no_features_and_no_baseline(server: EmbeddedServer, tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    slates, events = traffic(chance, 40)
    whole = found(server, slates, events).rows
    cut = START + 20 * HOUR
    with EmbeddedServer(tmp_path / "other") as other:
        early = found(other, [one for one in slates if one.now < cut], [each for each in events if each[4] < cut])
    n = len(early.rows["time"])
    assert 0 < n < len(whole["time"])
    for name in ("features", "baseline", "slate", "pin"):
        assert np.array_equal(early.rows[name], whole[name][:n]), name


def test_a_pins_rate_counts_only_slates_before() -> None:
    labels = np.zeros((3, 4), np.bool_)
    labels[0, 0] = True
    rows: dict[str, Any] = {
        "labels": labels, "examination": np.ones(3), "slate": np.array([1, 1, 2]), "pin": np.array([7, 8, 7]),
    }  # fmt: skip
    rates = prequential(rows)[:, 0]
    assert rates[0] == rates[1] and rates[2] > rates[0]


def traffic(chance: np.random.Generator, count: int) -> tuple[list[Slate], list[Event]]:
    """Slates an hour apart; pins whose first feature is large are saved more often."""
    slates: list[Slate] = []
    events: list[Event] = []
    for number in range(1, count + 1):
        time = START + number * HOUR // 2
        seen = chance.normal(size=(25, WIDTH)).astype(np.float32)
        pins = chance.choice(500, 25, replace=False) + 1
        slates.append(slate(number, time, pins.tolist(), seen))
        for place, pin in enumerate(pins.tolist()):
            events.append((number, 5, pin, Kind.IMPRESSION, time + place, place))
            p = (1 + place) ** -0.5 / (1 + np.exp(2 - 1.5 * seen[place, 0]))
            for kind in (Kind.SAVE, Kind.CLOSEUP, Kind.OUTBOUND_CLICK):
                if chance.random() < p:
                    events.append((number, 5, pin, kind, time + 60_000, -1))
    return slates, sorted(events, key=lambda event: event[4])


def test_a_new_version_is_learned_written_and_better_than_what_served(server: EmbeddedServer, tmp_path: Path) -> None:
    if not (ENVIRONMENT / "bin" / "python").exists():
        pytest.skip("the models' environment is missing: make setup")
    settings = replace(Settings.load({}), home=tmp_path / "home", port_base=server.port - 23)
    assert settings.clickhouse_http == server.url
    said: list[str] = []

    def learn(least: int) -> dict[str, Any]:
        return train(settings, days=5, window_hours=6, least=least, into=None, say=said.append)

    slates, events = traffic(np.random.default_rng(2), 120)
    asyncio.run(migrated(server))
    with pytest.raises(NothingLearned, match="no events"):
        learn(1)
    asyncio.run(filled(server, slates, events))
    with pytest.raises(NothingLearned, match="teach nothing"):
        learn(1_000_000)
    (settings.home / "training" / "ranker" / "7").mkdir(parents=True)
    told = learn(500)
    json.dumps(told)
    assert told["version"] == 8  # one that is there is never changed
    assert told["impressions"] > 2_000 and told["positives"]["save"] > 100 and told["positives"]["hide"] == 0
    # What served gives every pin the same, so that only places tell.
    assert told["test"]["save"]["auc"] > told["test"]["save"]["auc_before"] + 0.05
    model = Path(told["model"])
    assert f"dims: [{WIDTH}]" in (model / "config.pbtxt").read_text()
    assert (model / "config.pbtxt").read_text() == (settings.model_repository / "ranker" / "config.pbtxt").read_text()
    version = model / str(told["version"])
    loaded = importlib.util.spec_from_file_location("new_scorer", version / "scorer.py")
    assert loaded is not None and loaded.loader is not None
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    features = np.zeros((2, WIDTH), np.float32)
    features[1, 0] = 2.0
    low, high = module.Scorer(version / "weights.npz")(features)[:, 0]
    assert high > 2 * low


async def migrated(server: EmbeddedServer) -> None:
    store = ClickHouseHTTP(server.url)
    await migrate(store)
    await store.close()


async def filled(server: EmbeddedServer, slates: Sequence[Slate], events: Sequence[Event]) -> None:
    store = ClickHouseHTTP(server.url)
    await write(store, slates, events)
    await store.close()
