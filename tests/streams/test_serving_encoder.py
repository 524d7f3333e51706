"""Whoever looks from outside sees the index that serves, and whoever leaves, leaves every encoder's parts."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from streams.cli import demo_counts
from streams.encoders import moves
from streams.encoders.filling import Filler, lead
from streams.encoders.following import Encoders
from streams.encoders.states import FIRST, Standing, State, advanced, standings, write
from streams.engine import Engine
from streams.opening import close_engine
from streams.persist import persist
from streams.settings import EMBEDDED, PROJECT, Settings
from streams.stores.protocols import StoreUnavailable
from streams.understanding import record, record_vectors
from tests.chaos import audit
from tests.chaos.log import Record
from tests.chaos.traffic import Sent
from tests.clickhouse_process import EmbeddedServer
from tests.streams.eyes import COLOURS, READY, Eyes, seen, with_tables
from tests.streams.serving import make_engine, nowhere, pin
from training import ranker_vectors

PHOTO = PROJECT / "examples" / "sample" / "photos" / "302-pants.jpg"


@pytest.fixture
async def moved(server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    """Four pins in the first index; in that of the second encoder, which serves, are three of them."""
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    made = await with_tables(tmp_path, Eyes())
    understood = [await seen(made.models, number) for number in COLOURS]  # type: ignore[arg-type]
    await persist("recording pins", partial(record, made, understood, "2"), made.metrics)
    await moves.begin(made.events, "encoder_3", READY)
    while (await standings(made.events))["encoder_3"].state is State.FILLING:
        await lead(Filler(made))
    await moves.cut_over(made.events, "encoder_3", READY, anyway=True)
    assert made.encoders is not None
    await made.encoders.load(made.events)
    second = made.encoders.of("encoder_3")
    some = [await seen(second.models, number) for number in (1, 2, 3)]  # type: ignore[arg-type]
    await persist("recording vectors", partial(record_vectors, second.vectors, some), made.metrics)
    yield made
    await close_engine(made)


async def test_the_demo_counts_the_index_that_serves(moved: Engine) -> None:
    assert (await demo_counts._counts(moved.settings)).vectors == 2 * 3


async def test_the_reckoning_after_chaos_is_of_the_index_that_serves(
    moved: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [
        Record("pins", 0, at, json.dumps(pin(number, event_id=number)).encode()) for at, number in enumerate(COLOURS)
    ]
    monkeypatch.setattr(audit, "read_log", lambda *_: log)
    await moved.events.insert("pins", {"pin": [*COLOURS], "version": [1] * 4, "deleted": [0] * 4})
    assert (await audit.audit(moved.settings, Sent())).numbers["vectors"] == 3


@pytest.mark.real
async def test_the_ranker_learns_from_vectors_of_the_encoder_that_serves(
    triton: Settings, server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
    settings = replace(nowhere(tmp_path), clickhouse=EMBEDDED, triton=triton.triton_grpc)
    made = await with_tables(tmp_path, Eyes(), settings)
    try:
        assert (await ranker_vectors.vectors_of({1: PHOTO}, settings)).shape == (1, 256)
        await write(made.events, [advanced(FIRST, State.RETIRED), Standing("encoder_3", "3", State.SERVING, 1)])
        with pytest.raises(StoreUnavailable, match="encoder_3"):  # this Triton does not serve it
            await ranker_vectors.vectors_of({1: PHOTO}, settings)
    finally:
        await close_engine(made)


async def test_an_engine_leaves_the_parts_of_every_encoder(tmp_path: Path) -> None:
    made = make_engine(nowhere(tmp_path, milvus="lite"))
    encoders = made.encoders = Encoders(made.models, made.vectors)  # type: ignore[arg-type]
    encoders.standings = {
        FIRST.model: FIRST,
        "encoder_3": Standing("encoder_3", "3", State.READY, 1),
        "encoder_4": Standing("encoder_4", "4", State.DROPPING, 1),
    }
    encoders.put_to_work(made)
    held = [encoders.of(model) for model in encoders.standings]
    for one in held:
        await one.vectors.count("pins")
        one.models._connected()
    opened = [part._client for one in held for part in (one.models, one.vectors)]
    assert None not in opened
    await close_engine(made)
    assert {part._client for one in held for part in (one.models, one.vectors)} == {None}
