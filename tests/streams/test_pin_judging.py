"""Pins that the safety model could not be asked about are judged once it is back, by the real model."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.migrate import migrate
from operators.accepted import AcceptedPin
from streams import pin_judging, pin_safety
from streams.engine import Engine
from streams.opening import close_engine
from streams.pin_judging import LOOK, Judging, lead
from streams.settings import EMBEDDED, PROJECT, Settings
from streams.stores.triton import TritonModels
from tests.clickhouse_process import EmbeddedServer
from tests.streams.serving import make_engine, nowhere

pytestmark = pytest.mark.real
FILES = sorted((PROJECT / "examples" / "sample" / "photos").glob("*.jpg"))
BEGAN = 1_750_000_000_000
#: Pins that wait, the oldest last; then one of which the picture is gone.
WAITING, LOST = [*range(1, 6)], 6
#: Judged already; deleted; shows nothing; sent inline; changed since it was looked at.
DONE, DELETED, BLIND, INLINE, CHANGED = range(10, 15)


@pytest.fixture
async def engine(
    server: EmbeddedServer, triton: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Engine]:
    """Pins that were understood while there was no safety model, and others that need no score."""
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    monkeypatch.setattr(pin_judging, "STEP", 2)
    made = make_engine(replace(nowhere(tmp_path), clickhouse=EMBEDDED, triton=triton.triton_grpc))
    await migrate(made.events)
    for table in ("pin_vectors", "pins", "safety"):
        await made.events.command(f"TRUNCATE TABLE {table}")
    every = [*WAITING, LOST, DONE, DELETED, BLIND, INLINE, CHANGED]
    images = {pin: f"file:{FILES[pin].relative_to(PROJECT)}" for pin in every}
    images |= {LOST: "file:examples/nothing.jpg", INLINE: "inline"}
    await made.events.insert(
        "pins",
        {
            "pin": every, "version": [BEGAN - pin + (pin == CHANGED) for pin in every],
            "deleted": [int(pin == DELETED) for pin in every], "image": [images[pin] for pin in every],
        },
    )  # fmt: skip
    await made.events.insert(
        "pin_vectors",
        {
            "pin": every, "version": [BEGAN - pin for pin in every], "encoder_version": ["2"] * len(every),
            "vector": [[] if pin == BLIND else [1.0] for pin in every],
        },
    )  # fmt: skip
    await pin_safety.keep(
        made.state.safety, made.events, [(AcceptedPin(pin=DONE, version=BEGAN - DONE), True, 0.5)], "1"
    )
    yield made
    await close_engine(made)


def waiting(engine: Engine) -> int:
    """What the gauge says."""
    found = re.search(r"^pinstream_pins_to_judge (\S+)$", engine.metrics.exposition().decode(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


async def stored(engine: Engine) -> dict[int, float]:
    rows = await engine.events.query("SELECT pin, unsafe FROM safety FINAL")
    return dict(zip(rows["pin"].tolist(), rows["unsafe"].tolist(), strict=True))


async def test_pins_are_judged_when_the_model_is_back_the_oldest_first_also_after_a_restart(engine: Engine) -> None:
    here: Any = engine.models
    away = engine.models = TritonModels(replace(engine.settings, triton="127.0.0.1:9"))
    judging = Judging(engine)
    for _ in range(2):
        assert await lead(judging) >= LOOK, "it is not asked again and again"
        assert waiting(engine) == len(WAITING) + 1 and {*await stored(engine)} == {DONE}
    await away.close()

    engine.models = here
    await judging.work()
    assert {*await stored(engine)} == {DONE, 5} and waiting(engine) == 4, "two at a time, of one the picture is gone"
    judging = Judging(engine)  # as after a restart
    rests = [await judging.work() for _ in range(5)]
    scores = await stored(engine)
    assert {*scores} == {DONE, *WAITING} and waiting(engine) == 0
    assert rests[-1] >= LOOK > max(rests[:3]), "when all are judged it looks seldom"
    assert scores[DONE] == 0.5 and all(0 <= score < 0.5 for pin, score in scores.items() if pin != DONE)
    known = engine.state.safety.scores(np.array(WAITING, np.int64))
    assert known.tolist() == pytest.approx([scores[pin] for pin in WAITING]), "memory knows, too"


async def test_a_picture_that_is_gone_holds_up_nobody_and_is_not_asked_for_again_and_again(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    load = pin_judging.load_images

    async def noted(settings: Settings, references: Any) -> Any:
        asked.extend(references)
        return await load(settings, references)

    monkeypatch.setattr(pin_judging, "load_images", noted)
    judging = Judging(engine)
    for _ in range(9):
        await judging.work()
    assert asked.count("file:examples/nothing.jpg") == 1 and len(asked) == len(WAITING) + 1
    assert {*await stored(engine)} == {DONE, *WAITING} and waiting(engine) == 0


async def test_a_worker_that_leads_no_longer_says_that_nobody_waits(engine: Engine) -> None:
    judging = Judging(engine)
    await judging.work()
    assert waiting(engine) > 0
    judging.stand_down()
    assert waiting(engine) == 0
