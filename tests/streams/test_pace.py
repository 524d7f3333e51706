"""Pace: what can wait leaves the worker to what cannot."""

import pytest

from streams.pace import BEHIND, CALM, LONGEST_CALM, Pace


def test_learners_rest_most_behind_less_in_a_crowd_and_never_else() -> None:
    pace, rests = Pace(), list[float]()
    for crowded, age in ((False, 0.0), (True, 0.0), (True, BEHIND + 1)):
        pace.crowd(0.0, too_many=crowded)
        pace.read(0, int(age * 1000))
        rests.append(pace.rest_of_learner(1.0))
    assert rests == pytest.approx([0, 4, 49])
    assert pace.behind and pace.pressed and pace.rest(1.0) == pytest.approx(9)
    pace.read(0, 0)
    assert pace.pressed and not pace.behind and not pace.rest(1.0)


def test_a_crowd_counts_for_some_seconds_more() -> None:
    pace = Pace()
    pace.crowd(10.0, too_many=False)
    assert not pace.crowded
    pace.crowd(11.0, too_many=True)
    pace.crowd(11.0 + CALM - 0.1, too_many=False)
    assert pace.crowded
    pace.crowd(11.0 + CALM, too_many=False)
    assert not pace.crowded and not pace.pressed


def test_a_crowd_that_comes_back_at_once_counts_for_longer_and_one_that_does_not_for_no_longer() -> None:
    pace, at, calms = Pace(), 0.0, list[float]()
    for _ in range(8):
        began = at
        pace.crowd(at, too_many=True)
        while pace.crowded:
            at += 0.5
            pace.crowd(at, too_many=False)
        calms.append(at - began)
    assert calms == [CALM, 2 * CALM, 4 * CALM, 8 * CALM, 16 * CALM, *[LONGEST_CALM] * 3]
    at += LONGEST_CALM
    pace.crowd(at, too_many=True)
    pace.crowd(at + CALM, too_many=False)
    assert not pace.crowded
