"""Pins of the same picture in memory, in ClickHouse and back: at a restart, from another worker, when one goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infra.migrate import migrate
from operators.accepted import AcceptedPin
from operators.events import PinnerEvent
from operators.vision.fingerprint import VIEWS, WORDS, Fingerprints
from streams.agents import catalogue
from streams.engine import Engine
from streams.pin_pictures import keep
from streams.settings import EMBEDDED
from streams.state import HotState
from streams.tail import Folded, Tail
from tests.clickhouse_process import EmbeddedServer
from tests.streams.serving import NOW, make_engine, nowhere, pin, records, remember, serving
from tests.streams.test_pin_words import Heard

PINS = range(1, 7)


@pytest.fixture
async def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    """An engine on a ClickHouse of its own, whose catalogue knows six pins; the smaller, the later."""
    with EmbeddedServer(tmp_path / "clickhouse") as server:
        monkeypatch.setenv("PINSTREAM_PORT_CLICKHOUSE", str(server.port))
        made = make_engine(replace(nowhere(tmp_path), clickhouse=EMBEDDED))
        made.outputs = Heard()  # type: ignore[assignment]
        await migrate(made.events)
        await catalogue.handle(made, records("pins", *map(pin, PINS)))
        yield made
        await made.events.close()


def picture(seed: int, flipped: int = 0) -> Fingerprints:
    bits = np.random.default_rng(seed).integers(0, 2, (1, WORDS * 64), np.uint8)
    bits[:, :flipped] ^= 1
    return np.repeat(np.packbits(bits, axis=1).view(np.uint64), len(VIEWS), 0)


async def see(engine: Engine, state: HotState, pictures: dict[int, Fingerprints | None], version: int = 0) -> None:
    """As vision does, in the worker whose memory is ``state``."""
    accepted = [
        AcceptedPin(pin=number, version=version or NOW - 1000 * number, created=NOW - 1000 * number)
        for number in pictures
    ]
    await keep(state.pictures, state.catalogue, engine.events, list(zip(accepted, pictures.values(), strict=True)))


def groups(state: HotState) -> list[list[int]]:
    """Of each pin its group, which both ways of asking agree on."""
    found = [state.pictures.group(number) for number in PINS]
    assert state.pictures.canonicals(np.array(PINS)).tolist() == [group[0] for group in found]
    return found


async def restarted(engine: Engine) -> HotState:
    state = HotState()
    await state.load(engine.events)
    return state


@pytest.mark.real
async def test_groups_grow_change_and_part_and_a_restart_agrees(engine: Engine) -> None:
    state, bridge = engine.state, picture(1, 30)
    await see(engine, state, {1: picture(1), 2: bridge, 3: picture(1, 60), 4: picture(2), 5: picture(1), 6: None})
    same = [5, 3, 2, 1]
    assert groups(state) == [same, same, same, [4], same, [6]] == groups(await restarted(engine))
    # Again, and an older version that comes late, change nothing.
    await see(engine, state, {2: bridge})
    await see(engine, state, {4: picture(1)}, version=1)
    assert groups(state) == [same, same, same, [4], same, [6]] == groups(await restarted(engine))
    # Without the bridge the group parts; what is deleted leaves no fingerprint behind.
    await catalogue.handle(engine, records("pins", {"type": "deleted", "pin": 2, "time": NOW + 1}))
    assert groups(state) == [[5, 1], [2], [3], [4], [5, 1], [6]] == groups(await restarted(engine))
    await see(engine, state, {2: None}, version=NOW + 1)
    rows = await engine.events.query("SELECT pin FROM fingerprints FINAL WHERE notEmpty(fingerprint) ORDER BY pin")
    assert rows["pin"].tolist() == [1, 3, 4, 5]
    # Another picture of the canonical pin: the next earliest takes over.
    await catalogue.handle(engine, records("pins", pin(5, time=NOW + 2) | {"type": "updated"}))
    await see(engine, state, {5: picture(3)}, version=NOW + 2)
    assert groups(state) == [[1], [2], [3], [4], [5], [6]] == groups(await restarted(engine))


def test_an_erased_pinners_pins_leave_their_groups() -> None:
    state = HotState()
    remember(state, "pins", pin(1), pin(2), pin(3, pinner=901))
    for number in (1, 2, 3):
        state.pictures.add(number, NOW - number, picture(1))
    assert groups(state)[0] == [3, 2, 1]
    state.apply_pinner(PinnerEvent(type="deleted", pinner=900, time=NOW))
    assert groups(state) == [[number] for number in PINS]


@pytest.mark.real
async def test_workers_that_see_copies_at_once_agree_and_tell(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, other = engine.state, await restarted(engine)
    engine.folded = await Folded.load(engine.events)
    tails = [(state, Tail(engine)) for state in (mine, other)]
    await see(engine, mine, {1: picture(1), 3: picture(2)})
    await see(engine, other, {2: picture(1, 30), 4: picture(3)})
    assert groups(await restarted(engine))[0] == [1], "neither row says so yet"
    for engine.state, tail in tails:
        await tail.follow([("pins", 0)])
    assert groups(mine) == [[2, 1], [2, 1], [3], [4], [5], [6]] == groups(other)
    assert groups(await restarted(engine)) == groups(mine)
    async with serving(engine, monkeypatch) as client:
        for number, canonical, others in ((1, 2, 1), (2, 2, 1), (3, 3, 0)):
            body = await (await client.get(f"/v1/pins/{number}")).json()
            assert (body["canonical"], body["duplicates"]) == (canonical, others)
        group = (await (await client.get("/v1/stats/pins/1")).json())["group"]
        assert (group["pins"], group["size"], group["totals"]["saves"]) == ([2, 1], 2, 0)
        unknown = (await (await client.get("/v1/stats/pins/99")).json())["group"]
        assert (unknown["pins"], unknown["size"]) == ([99], 1)
