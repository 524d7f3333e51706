import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.small_sets import best_scores, contains, taken_in_turns

ids = st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 8), max_size=60).map(lambda some: np.array(some, np.int64))


@given(ids, ids)
def test_contains_is_isin(values, among):
    assert contains(values, among).tolist() == np.isin(values, among).tolist()
    assert contains(values[::2], among[::-1]).tolist() == np.isin(values[::2], among).tolist()


@given(ids, st.randoms(use_true_random=False))
def test_each_id_once_with_its_best_score(values, random):
    scores = np.array([random.choice([0.25, 0.5, 1.0]) for _ in values], np.float32)
    found, best = best_scores(values, scores)
    expected: dict[int, float] = {}
    for value, score in zip(values.tolist(), scores.tolist(), strict=True):
        expected[value] = max(score, expected.get(value, score))
    assert dict(zip(found.tolist(), best.tolist(), strict=True)) == expected
    assert found.tolist() == list(expected), "in order of first appearance"


@given(st.lists(ids, min_size=1, max_size=4), st.integers(1, 70))
def test_groups_take_turns(groups, limit):
    scores = [np.arange(len(group), dtype=np.float32) for group in groups]
    turns = [(turn, group) for turn in range(60) for group in range(len(groups)) if turn < len(groups[group])]
    order = list(dict.fromkeys(int(groups[group][turn]) for turn, group in turns))[:limit]
    starts = np.cumsum([0, *(len(group) for group in groups)])
    columns = np.arange(len(groups))[::-1]
    taken, table = taken_in_turns(
        np.concatenate(groups), np.concatenate(scores), starts, columns, len(groups) + 1, limit
    )
    assert taken.tolist() == order
    for row, one in enumerate(order):
        for group, column in enumerate(columns.tolist()):
            places = np.flatnonzero(groups[group] == one)
            assert table[row, column] == places[0] if len(places) else np.isnan(table[row, column])
    assert np.isnan(table[:, len(groups)]).all()
