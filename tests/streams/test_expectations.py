"""Expected and observed actions: each once, only of what was looked at, and in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from operators.batch import ENGAGEMENT_COLUMNS, Engagement, Source
from operators.events import Kind
from operators.slate.slate import Item, Probabilities, Slate
from streams.expectations import Expectations
from streams.metrics import Metrics


def slate(number: int, *pins: int, ranked: bool = True) -> Slate:
    chances = Probabilities(0.1, 0.2, 0.3, 0.4) if ranked else None
    return Slate(
        slate=number, pinner=1, trigger_event=1, now=1, trigger_logged=1, emitted=1, seed=1,
        items=[Item(pin, 1.0, {}, chances) for pin in pins],
    )  # fmt: skip


def events(*rows: tuple[int, int, Kind, int]) -> Engagement:
    columns = {name: np.zeros(len(rows), np.int64) for name in ENGAGEMENT_COLUMNS}
    columns["surface"] = np.ones(len(rows), np.uint8)
    columns["slate"] = np.array([row[0] for row in rows], np.int64)
    columns["pin"] = np.array([row[1] for row in rows], np.int64)
    columns["kind"] = np.array([row[2] for row in rows], np.uint8)
    columns["position"] = np.array([row[3] for row in rows], np.int16)
    return Engagement(source=Source("saves", 0, 0, len(rows)), **columns)


def test_what_was_looked_at_is_expected_and_what_was_done_is_counted_once() -> None:
    known = Expectations(every=1)
    known.sent([slate(8, 5, 6), slate(9, 5, ranked=False)])
    expected, happened = known.seen(
        events(
            (8, 6, Kind.SAVE, -1),  # before its impression
            (8, 5, Kind.IMPRESSION, 0),
            (8, 6, Kind.IMPRESSION, 3),  # half as likely looked at
            (8, 6, Kind.IMPRESSION, 3),
            (8, 6, Kind.SAVE, -1),
            (8, 5, Kind.HIDE, -1),
            (8, 7, Kind.HIDE, -1),  # not on it
            (9, 5, Kind.IMPRESSION, 0),  # nothing was expected
            (0, 5, Kind.SAVE, -1),
        )
    )
    assert expected["save"] == pytest.approx(0.1 * 1.5) and expected["hide"] == pytest.approx(0.4 * 1.5)
    assert happened == {"save": 1, "closeup": 0, "outbound_click": 0, "hide": 1}
    assert known.seen(events((8, 5, Kind.IMPRESSION, 0)))[0]["save"] == 0


def test_a_sample_of_slates_is_remembered_and_no_more_than_there_is_room_for() -> None:
    known = Expectations(every=4, most=3)
    known.sent([slate(number, 5) for number in range(1, 41)])
    assert len(known) == 3
    assert known.seen(events((39, 5, Kind.SAVE, -1), (4, 5, Kind.SAVE, -1), (40, 5, Kind.SAVE, -1)))[1]["save"] == 1


def test_metrics_tell_both_sums_of_every_action() -> None:
    metrics = Metrics()
    metrics.expectations = Expectations(every=1)
    value = metrics.registry.get_sample_value
    assert value("pinstream_actions_observed_total", {"action": "hide"}) == 0
    metrics.sent([slate(8, 5)])
    metrics.engaged(events((8, 5, Kind.IMPRESSION, 0), (8, 5, Kind.CLOSEUP, -1)))
    assert value("pinstream_actions_expected_total", {"action": "closeup"}) == pytest.approx(0.2)
    assert value("pinstream_actions_observed_total", {"action": "closeup"}) == 1
