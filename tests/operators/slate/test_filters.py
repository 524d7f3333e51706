import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.slate.filters import FILTERS, Question, apply

some = st.sets(st.integers(1, 20), max_size=12)
PINNER = 99


def question(pins, *, gone=(), unheard=(), bad=(), mine=(), seen=(), saved=(), hidden=(), same=None):
    ids = np.array(pins, np.int64)
    return Question(
        pinner=PINNER,
        pins=ids,
        pictures=np.array([(same or {}).get(pin, pin) for pin in pins], np.int64),
        owners=np.where(np.isin(ids, list(mine)), PINNER, 1),
        known=~np.isin(ids, list(unheard)),
        deleted=np.isin(ids, list(gone)),
        unsafe=np.isin(ids, list(bad)),
        seen=np.array(list(seen), np.int64),
        saved=np.array(list(saved), np.int64),
        hidden=np.array(list(hidden), np.int64),
    )


@given(st.sets(st.integers(1, 20)), some, some, some, some, some, some, some)
def test_nothing_leaks_nothing_else_is_lost_and_every_drop_is_counted_once(
    pins, gone, unheard, bad, mine, seen, saved, hidden
):
    asked = question(
        sorted(pins), gone=gone, unheard=unheard, bad=bad, mine=mine, seen=seen, saved=saved, hidden=hidden
    )
    keep, dropped = apply(asked)
    assert set(asked.pins[keep].tolist()) == pins - gone - unheard - bad - mine - seen - saved - hidden
    assert sorted(pin for by in dropped.values() for pin in by.tolist()) == asked.pins[~keep].tolist()


def test_the_first_filter_that_objects_is_named():
    _, dropped = apply(question([7], gone=[7], seen=[7], hidden=[7]))
    assert {name: pins.tolist() for name, pins in dropped.items()} == {"deleted": [7]}


def test_a_copy_of_an_unsafe_picture_goes_with_it():
    keep, dropped = apply(question([9, 4], bad=[9], seen=[9], same={4: 9, 9: 9}))
    assert not keep.any()
    assert {name: pins.tolist() for name, pins in dropped.items()} == {"unsafe": [9], "duplicate": [4]}


def test_one_of_each_picture_stays_and_none_of_one_that_is_saved():
    keep, dropped = apply(question([9, 4, 7, 5, 3], saved=[7], same={9: 3, 3: 3, 7: 2, 5: 2}))
    assert keep.tolist() == [True, True, False, False, False]
    assert {name: pins.tolist() for name, pins in dropped.items()} == {"saved": [7], "duplicate": [5, 3]}


def test_seen_is_the_last_filter_so_that_its_drops_may_return():
    assert list(FILTERS)[-1] == "seen"
