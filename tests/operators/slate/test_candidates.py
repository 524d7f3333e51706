import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.slate.candidates import SOURCES, Found, merge

proposals = st.dictionaries(
    st.sampled_from(SOURCES), st.lists(st.integers(1, 30), max_size=20, unique=True), max_size=len(SOURCES)
)


def found(pins: list[int], scores: list[float] | None = None) -> Found:
    values = scores if scores is not None else [1.0 / (place + 1) for place in range(len(pins))]
    return Found(np.array(pins, np.int64), np.array(values, np.float32))


@given(proposals, st.integers(1, 40))
def test_every_pin_once_with_the_score_of_each_source_that_proposed_it(by_source, limit):
    merged = merge({name: found(pins) for name, pins in by_source.items()}, limit)
    everything = {pin for pins in by_source.values() for pin in pins}
    assert len(set(merged.pins.tolist())) == len(merged) == min(limit, len(everything))
    for row, pin in enumerate(merged.pins.tolist()):
        expected = {name: pytest.approx(1 / (pins.index(pin) + 1)) for name, pins in by_source.items() if pin in pins}
        assert merged.sources_of(row) == expected


@given(proposals, st.integers(1, 40))
def test_what_is_cut_off_stood_no_higher_in_any_source_than_what_stayed_last(by_source, limit):
    merged = merge({name: found(pins) for name, pins in by_source.items()}, limit)
    place = {}
    for pins in by_source.values():
        for at, pin in enumerate(pins):
            place[pin] = min(at, place.get(pin, 99))
    kept = set(merged.pins.tolist())
    worst = max((place[pin] for pin in kept), default=0)
    assert all(place[pin] >= worst for pin in place if pin not in kept)


def test_a_pin_that_a_source_names_twice_keeps_its_better_place():
    merged = merge({"boards": found([5, 6, 5], [3.0, 2.0, 1.0])}, 10)
    assert merged.pins.tolist() == [5, 6]
    assert merged.sources_of(0) == {"boards": 3.0}


def test_nothing_found_is_no_candidates():
    assert len(merge({}, 10)) == 0
    assert merge({"fresh": found([])}, 10).scores.shape == (0, len(SOURCES))


def test_an_unknown_source_is_named():
    with pytest.raises(KeyError, match="astrology"):
        merge({"astrology": found([1])}, 10)
