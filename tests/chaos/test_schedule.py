"""The schedule is a pure function of its seed, and holds what was asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.chaos.schedule import PARTS, WORKERS, schedule, short


@pytest.mark.parametrize("kills", [1, 6, 100, 250])
def test_the_same_seed_is_the_same_schedule(kills: int) -> None:
    assert schedule(7, kills) == schedule(7, kills)
    assert schedule(7, kills) != schedule(8, kills)
    assert sum(fault.what == "kill" for fault in schedule(7, kills)) == kills


def test_every_part_and_every_fault_is_in_a_long_run() -> None:
    faults = schedule(1, 100)
    killed = Counter(fault.part for fault in faults if fault.what == "kill")
    assert set(killed) == {*PARTS, *WORKERS}
    assert min(killed.values()) >= 10
    assert {fault.what for fault in faults} >= {"kill", "stop", "fill disk", "rebalance", "step clock", "lose answers"}
    assert any(fault.seconds > 10 for fault in faults if fault.what == "stop"), "one long enough for Kafka to give up"
    assert any(fault.at_once for fault in faults), "some come while the last is not over"


def test_the_short_form_kills_everything_once() -> None:
    assert {fault.part for fault in short(3) if fault.what == "kill"} == {*PARTS, *WORKERS}
