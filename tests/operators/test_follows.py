"""Follows against a dictionary, in any order."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.follows import Follows

Row = tuple[int, int, int, bool]
PINNER = st.integers(1, 6)
ROWS = st.lists(st.tuples(PINNER, PINNER, st.integers(1, 4), st.booleans()), max_size=40)


def folded(rows: list[Row], size: int) -> Follows:
    follows = Follows()
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        columns = [np.array([row[at] for row in part], np.int64) for at in range(3)]
        follows.accept(columns[0], columns[1], columns[2], np.array([row[3] for row in part]))
    return follows


@given(ROWS, st.integers(1, 7), st.integers(0, 6))
def test_the_newest_word_on_a_pair_wins_and_erasing_forgets(rows: list[Row], size: int, erased: int) -> None:
    follows = folded(rows, size)
    follows.erase(erased)
    best: dict[tuple[int, int], tuple[int, bool]] = {}
    for one, other, version, on in rows:
        # At one time unfollowing wins: False < True, so it is compared the other way round.
        if (version, not on) > best.get((one, other), (0, False)):
            best[one, other] = (version, not on)
    holds = {pair for pair, (_, off) in best.items() if not off and erased not in pair}
    pairs = [(a, b) for a in range(8) for b in range(8)]
    mask = follows.follows(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    assert mask.tolist() == [pair in holds for pair in pairs]
    assert len(follows) == len(holds)
    for pinner in range(8):
        assert follows.followed_by(pinner).tolist() == sorted(b for a, b in holds if a == pinner)


def test_an_erased_pinner_may_follow_anew() -> None:
    follows = folded([(1, 2, 1, True), (3, 1, 1, True)], 2)
    follows.erase(1)
    follows.accept(np.array([1]), np.array([3]), np.array([2]), np.array([True]))
    assert follows.followed_by(1).tolist() == [3]
    assert follows.followed_by(3).tolist() == []
