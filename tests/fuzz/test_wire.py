"""Hostile bytes against the API alone, every part gone: each gets one answer, and the metrics know it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from streams.engine import Engine
from streams.opening import close_engine
from tests.fuzz import wire
from tests.streams.serving import make_engine, nowhere, pin, remember, serving

COUNT, SEED = 600, 5


@pytest.fixture
async def engine(tmp_path: Path):
    engine = make_engine(nowhere(tmp_path))
    remember(engine.state, "pins", *(pin(number) for number in range(1, 11)))
    yield engine
    await close_engine(engine)


async def test_every_answer_is_accounted_for(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.api.events.BODY_SECONDS", 1.0)
    async with serving(engine, monkeypatch) as client:
        found = await wire.send("127.0.0.1", client._base_url.port, SEED, COUNT)
    told: Counter[int] = Counter()
    for family in engine.metrics.registry.collect():
        for sample in family.samples:
            if sample.name == "pinstream_requests_total":
                told[int(sample.labels["status"])] += int(sample.value)
    assert told == Counter({status: times for status, times in found.items() if status})
    # 503 is what a good request gets here.
    assert not [status for status in found if status >= 500 and status != 503], found
    assert found.total() >= COUNT and {400, 404, 405, 415, 422, 503} <= found.keys(), found


def test_the_same_seed_gives_the_same_requests() -> None:
    assert list(wire.requests(7, 200)) == list(wire.requests(7, 200)) != list(wire.requests(8, 200))
