"""Scores of pictures in memory: the newest version wins in any order, and what is unknown passes and costs nothing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.safety import CERTAIN, HARMLESS, PENALTY, Safety, penalty

#: Pin → (version, score); each version of a pin has one score.
judged = st.dictionaries(st.tuples(st.integers(1, 9), st.integers(-5, 5)), st.none() | st.floats(0, 1, width=32))


def take(safety: Safety, rows: list[tuple[tuple[int, int], float | None]]) -> None:
    safety.take(
        np.array([pin for (pin, _), _ in rows], np.int64),
        np.array([version for (_, version), _ in rows], np.int64),
        np.array([score for _, score in rows], np.float32),
    )


@given(judged, st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_newest_version_wins_in_any_order_and_any_parts(rows, random, parts):
    shuffled = list(rows.items())
    random.shuffle(shuffled)
    safety = Safety()
    for part in range(parts):
        take(safety, shuffled[part::parts])
    take(safety, shuffled)
    pins = np.arange(0, 12)
    newest = {pin: rows[pin, version] for pin, version in sorted(rows)}
    expected = np.array([newest.get(pin) for pin in pins.tolist()], np.float32)
    np.testing.assert_array_equal(safety.scores(pins), expected)
    assert safety.above(pins, 0.5).tolist() == (np.nan_to_num(expected) > 0.5).tolist()
    assert len(safety) == len(newest)


def test_another_look_at_the_same_version_counts_and_an_older_one_does_not():
    safety = Safety()
    for version, score in ((7, 0.9), (7, 0.2), (6, 0.99)):
        take(safety, [((1, version), score)])
    assert safety.scores(np.array([1]))[0] == np.float32(0.2)
    take(safety, [((1, 8), None)])
    assert np.isnan(safety.scores(np.array([1]))).all() and not safety.above(np.array([1]), 0.0).any()


def test_nobody_is_above_one_and_a_score_at_the_threshold_passes():
    safety = Safety()
    take(safety, [((1, 1), 1.0), ((2, 1), 0.5), ((3, 1), 0.0)])
    assert not safety.above(np.array([1, 2, 3]), 1.0).any()
    assert safety.above(np.array([1, 2, 3]), 0.5).tolist() == [True, False, False]


def test_the_penalty_is_nothing_for_the_harmless_and_the_unknown_and_bounded():
    scores = np.array([np.nan, 0, HARMLESS, (HARMLESS + CERTAIN) / 2, CERTAIN, 1], np.float32)
    np.testing.assert_allclose(penalty(scores), [0, 0, 0, PENALTY / 2, PENALTY, PENALTY], atol=1e-6)
