"""Encoders: an answer is of one of them, moves are what they say, and one that fails holds nobody up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from streams.encoders import moves
from streams.encoders.again import look_beside, make_up
from streams.encoders.filling import Fill, Filler, fills
from streams.encoders.following import Encoders, follow
from streams.encoders.moves import MoveRefused
from streams.encoders.states import FIRST, Standing, State, standings
from streams.engine import Engine
from streams.lens import look
from streams.lens_photo import WHOLE
from streams.lens_recall import Recall
from streams.opening import close_engine
from streams.related import related
from streams.stores.protocols import StoreUnavailable
from streams.understanding import record, record_vectors
from tests.clickhouse_process import EmbeddedServer
from tests.streams.eyes import COLOURS, READY, Eyes, picture, seen, with_tables
from tests.streams.serving import make_engine, nowhere, pin, remember

SECOND = Standing("encoder_3", "3", State.READY, 1)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    """Four pins in the indexes of two encoders, the first of which serves."""
    made = make_engine(nowhere(tmp_path, milvus="lite"))
    eyes = Eyes()
    made.encoders = Encoders(eyes, made.vectors)  # type: ignore[arg-type]
    made.encoders.standings = {FIRST.model: FIRST, SECOND.model: SECOND}
    made.encoders.put_to_work(made)
    remember(made.state, "pins", *(pin(number) for number in COLOURS))
    for model in (FIRST.model, SECOND.model):
        one = made.encoders.of(model)
        await record_vectors(one.vectors, [await seen(one.models, number) for number in COLOURS])
    yield made
    await close_engine(made)


def cut_over(engine: Engine) -> None:
    """What following does: between two steps of whoever makes an answer."""
    assert engine.encoders is not None
    engine.encoders.standings = {
        FIRST.model: FIRST._replace(state=State.RETIRED),
        SECOND.model: SECOND._replace(state=State.SERVING),
    }
    engine.encoders.put_to_work(engine)


async def test_an_answer_is_of_the_encoder_that_it_began_with(engine: Engine) -> None:
    first = engine.models
    first.meanwhile = lambda: cut_over(engine)  # type: ignore[attr-defined]
    recall = Recall()
    found = await look(engine, recall, picture(1), WHOLE, 0, 4)
    assert engine.encoder == "encoder_3" and engine.models is not first, "another one serves by now"
    assert found.models["encoder"] == "2"
    assert {hit.pin: round(hit.similarity, 2) for hit in found.hits if hit.source == "visual"}.get(1) == 1.0
    again = await look(engine, recall, picture(1), WHOLE, 0, 4)
    assert again.models["encoder"] == "3" and not again.remembered, "what the other one saw is not searched for here"
    assert [hit.pin for hit in again.hits] == [hit.pin for hit in found.hits]
    assert again.hits[0].similarity == pytest.approx(found.hits[0].similarity, abs=1e-4)


async def test_related_pins_are_of_the_encoder_that_they_began_with(engine: Engine) -> None:
    fetch = engine.vectors.fetch

    async def and_cut_over(collection, ids):
        vectors = await fetch(collection, ids)
        cut_over(engine)
        return vectors

    engine.vectors.fetch = and_cut_over  # type: ignore[method-assign]
    during = await related(engine, 1, 3)
    assert engine.encoder == "encoder_3"
    after = await related(engine, 1, 3)
    for found in (during, after):
        assert found.pins[0].pin == 3 and found.pins[0].sources["visual"] > 0.99


@pytest.fixture
async def stored(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    """As ``engine`` before anything moved, with tables of its own: the session's worker would fill an index that it is
    told of."""
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    made = await with_tables(tmp_path, Eyes())
    yield made
    await close_engine(made)


async def test_moves_may_be_repeated_and_say_what_they_refuse(stored: Engine) -> None:
    events = stored.events
    assert await standings(events) == {"encoder": FIRST}
    for model, why in (("encoder_4", "does not serve"), ("detector", "no encoder"), ("encoder_x-y", "no encoder")):
        with pytest.raises(MoveRefused, match=why):
            await moves.begin(events, model, READY)
    with pytest.raises(MoveRefused, match="another name"):
        await moves.begin(events, "encoder_2", READY | {"encoder_2": "1"})
    with pytest.raises(MoveRefused, match="no index"):
        await moves.cut_over(events, "encoder_3", READY)
    began = await moves.begin(events, "encoder_3", READY)
    assert await moves.begin(events, "encoder_3", READY) == began and began.state is State.FILLING
    assert (await standings(events))["encoder"] == Standing("encoder", "2", State.SERVING)
    with pytest.raises(MoveRefused, match="only a whole index"):
        await moves.cut_over(events, "encoder_3", READY)
    assert await moves.roll_back(events) is None

    assert stored.encoders is not None
    filler = Filler(stored)
    while (await standings(events))["encoder_3"].state is State.FILLING:
        await filler.work()
    assert (await moves.cut_over(events, "encoder_3", READY)).state is State.SERVING
    await follow(stored)
    assert stored.encoder == "encoder_3" and stored.vectors.named("pins") == "pins_3"  # type: ignore[attr-defined]
    with pytest.raises(MoveRefused, match="serves"):
        await moves.drop(events, "encoder_3")
    back = await moves.roll_back(events)
    assert back is not None and back.model == "encoder"
    assert await moves.roll_back(events) is None, "a second rollback does not go forth again"
    await follow(stored)
    assert stored.encoder == "encoder"
    assert (await moves.drop(events, "encoder_3")).state is State.DROPPING
    assert (await moves.drop(events, "encoder_3")).state is State.DROPPING


async def test_an_encoder_that_fails_holds_nobody_up_and_catches_up(stored: Engine, tmp_path: Path) -> None:
    events = stored.events
    assert stored.encoders is not None
    await moves.begin(events, "encoder_3", READY)
    await follow(stored)
    other = stored.encoders.of("encoder_3")
    other.models.gone = True  # type: ignore[attr-defined]
    photos = Path(__file__).parents[2] / "examples" / "sample" / "photos"
    files = sorted(photos.glob("*.jpg"))[: len(COLOURS)]
    images = [f"file:examples/sample/photos/{file.name}" for file in files]
    await events.insert(
        "pins",
        {
            "pin": [*COLOURS], "version": [1] * 4, "deleted": [0] * 4, "pinner": [9] * 4, "board": [0] * 4,
            "title": [""] * 4, "description": [""] * 4, "link": [""] * 4, "domain": [""] * 4, "domain_id": [0] * 4,
            "image": [*images[:3], "inline"], "created": [1] * 4,
        },
    )  # fmt: skip
    understood = [await seen(stored.models, number) for number in COLOURS]  # type: ignore[arg-type]
    await record(stored, understood, "2")
    await look_beside(stored, understood, [picture(number) for number in COLOURS])
    assert len(await stored.vectors.fetch("pins", np.array([*COLOURS]))) == 4, "the first encoder's pins are there"
    assert not await other.vectors.fetch("pins", np.array([*COLOURS]))
    open_ = "SELECT count() AS n FROM encoder_misses FINAL WHERE open"
    assert int((await events.query(open_))["n"][0]) == 4
    with pytest.raises(StoreUnavailable):
        await make_up(stored, other, 8)
    other.models.gone = False  # type: ignore[attr-defined]
    assert await make_up(stored, other, 8) == 4
    assert int((await events.query(open_))["n"][0]) == 0 and await make_up(stored, other, 8) == 0
    assert (await other.vectors.fetch("pins", np.array([*COLOURS]))).keys() == {1, 2, 3}, (
        "a picture sent inline is gone"
    )
    assert (await other.vectors.fetch("objects", np.array([10, 20, 30, 40]))).keys() == {10, 20, 30}

    # Filled from the start, by another worker that goes on from where one died: pin 4 is gone, and is told.
    for _ in range(2):
        await Filler(stored).work()
    fill: Fill = (await fills(events))["encoder_3"]
    assert (fill.filled, fill.gone, fill.position, fill.done) == (3, 1, 4, True)
    assert (await standings(events))["encoder_3"].state is State.READY
    with pytest.raises(MoveRefused, match=r"75\.0% of the pins are in both"):
        await moves.cut_over(events, "encoder_3", READY)
    assert (await moves.cut_over(events, "encoder_3", READY, anyway=True)).state is State.SERVING
