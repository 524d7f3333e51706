"""The id index against a dictionary."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.id_index import IdIndex, grown

IDS = st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 40), max_size=200)


@given(st.lists(IDS, max_size=5), IDS)
def test_interns_in_order_of_appearance_and_looks_up(batches: list[list[int]], asked: list[int]) -> None:
    index, known = IdIndex(capacity=1), dict[int, int]()
    for batch in batches:
        dense = index.intern(np.array(batch, np.int64))
        assert dense.tolist() == [known.setdefault(one, len(known)) for one in batch]
    assert index.lookup(np.array(asked, np.int64)).tolist() == [known.get(one, -1) for one in asked]
    assert index.ids.tolist() == list(known)


def test_a_forgotten_id_is_unknown_and_comes_back_as_a_new_number() -> None:
    index = IdIndex(capacity=4)
    ids = np.arange(1, 101)
    index.intern(ids)
    assert index.forget(50) == 49
    assert index.forget(50) == -1
    assert index.find(50) == -1
    assert 50 not in index.ids
    assert np.array_equal(index.lookup(ids[ids != 50]), np.delete(np.arange(100), 49))
    assert index.intern(np.array([50]))[0] == 100
    index.intern(np.arange(1000, 2000))  # grows, with the stand-in in it
    assert index.find(50) == 100
    assert index.find(1) == 0


def test_grown_keeps_the_rows_and_fills_the_rest() -> None:
    array = np.ones((3, 2), np.int32)
    assert grown(array, 3) is array
    larger = grown(array, 4, -1)
    assert larger.shape == (6, 2)
    assert (larger[:3] == 1).all()
    assert (larger[3:] == -1).all()
