"""Odd pinners, pins and clocks: each still gets a sensible slate, names what it leans on, and takes bounded memory."""

import numpy as np
import pytest

from operators.events import Kind, PinEvent
from operators.recent_actions import ACTIONS, SAVED
from streams.slates import SlateRequest, build_slates
from tests.streams.slates_world import ANN, BOB, CHOICES, DAY, EVE, NOW, PINS, act, engine_of, topic

MINUTE = 60_000


@pytest.fixture
def engine(tmp_path):
    return engine_of(tmp_path)


async def slate_of(engine, pinner=ANN, now=NOW):
    (slate,) = await build_slates(engine, [SlateRequest(pinner, 77, now, now)], CHOICES)
    return slate


def pins_of(slate):
    return [item.pin for item in slate.items]


def create(engine, *pins: int, board: int = 0, time: int = NOW - DAY) -> None:
    engine.state.apply_pins(
        [
            (pin, PinEvent(type="created", pin=pin, pinner=70, board=board or None, domain="b.org", time=time))
            for pin in pins
        ]
    )


async def test_a_pinner_who_saved_only_a_pin_without_picture_or_board_gets_a_slate(engine):
    create(engine, 5_000)
    act(engine, ANN, Kind.SAVE, 5_000)
    slate = await slate_of(engine)
    assert len(slate.items) == 10
    assert slate.degraded == []
    assert 5_000 not in pins_of(slate)


async def test_a_pin_without_picture_or_saves_reaches_pinners_as_a_fresh_one(engine):
    create(engine, 5_001, time=NOW - 1)
    act(engine, ANN, Kind.SAVE, 100)
    act(engine, ANN, Kind.IMPRESSION, *PINS.tolist())
    slate = await slate_of(engine)
    assert slate.items[0].pin == 5_001
    assert set(slate.items[0].sources) == {"fresh"}


async def test_a_board_of_100_000_pins_proposes_no_more_than_any_other(engine):
    many = np.arange(1_000_000, 1_100_000)
    engine.state.board_graph.add(many, np.full(len(many), 900))
    act(engine, ANN, Kind.SAVE, 100, 130)
    slate = await slate_of(engine)
    came_in = next(stage.came_in for stage in slate.stages if stage.name == "filters")
    assert came_in <= 6 * CHOICES.source_limit
    # The board's pins that were never announced are unknown; the other seed's topic is still there.
    assert len(slate.items) == 10
    assert 1 in {topic(pin) for pin in pins_of(slate)}


async def test_a_pinner_with_100_000_saves_keeps_what_a_slate_needs_and_no_more(engine):
    act(engine, BOB, Kind.SAVE, 100)
    small = engine.state.recent.nbytes
    old = np.arange(1_000_000, 1_100_000)
    for start in range(0, len(old), 5_000):
        act(engine, ANN, Kind.SAVE, *old[start : start + 5_000].tolist(), time=NOW - DAY + start)
    act(engine, ANN, Kind.SAVE, 100, 101)
    assert len(engine.state.recent.saved(ANN, 10 * SAVED).pins) == SAVED
    assert engine.state.recent.nbytes - small < 2 * 17 * (2 * SAVED + ACTIONS)
    slate = await slate_of(engine)
    assert sum(topic(pin) == 0 for pin in pins_of(slate)) >= 5
    assert not {100, 101} & set(pins_of(slate))


async def test_a_bot_that_saves_a_thousand_pins_a_minute_does_not_change_what_others_get(engine):
    act(engine, BOB, Kind.SAVE, 130, 131)
    before = await slate_of(engine, BOB)
    spam = np.arange(2_000_000, 2_010_000)
    for minute in range(10):
        act(engine, EVE, Kind.SAVE, *spam[minute * 1000 : minute * 1000 + 1000].tolist(), time=NOW - minute * MINUTE)
    bot, after = await slate_of(engine, EVE), await slate_of(engine, BOB)
    assert pins_of(after) == pins_of(before)
    assert len(bot.items) == 10


@pytest.mark.filterwarnings("error")
async def test_a_clock_that_goes_back_gives_no_negative_ages_and_a_full_slate(engine):
    act(engine, ANN, Kind.SAVE, 100, 101, time=NOW + MINUTE)  # as far ahead as is accepted
    create(engine, 5_002, time=NOW + MINUTE)
    slate = await slate_of(engine, now=NOW - 60 * DAY)  # a worker whose clock was set back
    assert len(slate.items) == 10
    assert all(np.isfinite(item.score) for item in slate.items)
    assert all(item.sources.get("fresh", 0) <= 1 for item in slate.items)


async def test_when_everything_is_filtered_away_the_slate_says_what_it_leans_on(engine):
    act(engine, ANN, Kind.SAVE, 100)
    act(engine, ANN, Kind.IMPRESSION, *PINS.tolist())
    slate = await slate_of(engine)
    assert len(slate.items) == 10
    assert "repeats" in slate.fallback
    act(engine, ANN, Kind.HIDE, *PINS.tolist())
    nothing = await slate_of(engine)
    assert nothing.items == []
    assert nothing.dropped["hidden"] > 0
