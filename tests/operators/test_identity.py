"""Ids: the mapping is total on what it accepts, stays in range, and never changes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.identity import MAX_ID, combined_id, stable_id

# Stored rows are named by these: a change here is a broken database. From `b2sum -l 64`, top bit cleared.
PINNED = {
    "abc": 6393727014797677913,
    "pin-1": 5329670474299843773,
    "0": 300471914551172981,
    "007": 7,
    "９": 5478346023334433039,
    "9223372036854775808": 738759672502709442,
}


@pytest.mark.parametrize(("text", "number"), PINNED.items())
def test_the_mapping_never_changes(text: str, number: int) -> None:
    assert stable_id(text) == number


@given(st.integers(1, MAX_ID))
def test_an_integer_and_its_decimal_text_are_the_same_id(value: int) -> None:
    assert stable_id(value) == stable_id(str(value)) == value


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_any_text_maps_into_range(text: str) -> None:
    assert 1 <= stable_id(text) <= MAX_ID


@pytest.mark.parametrize("value", [0, -1, MAX_ID + 1, ""])
def test_what_is_no_id_is_refused(value: int | str) -> None:
    with pytest.raises(ValueError, match="id"):
        stable_id(value)


def test_combined_ids_keep_parts_and_order_apart() -> None:
    ids = {combined_id(1, 23), combined_id(12, 3), combined_id(23, 1), combined_id(123), combined_id("1", "2", "3")}
    assert len(ids) == 5
    assert combined_id("slate", 7) == combined_id("slate", "7")
