"""The dictionary as a sum over pins, and what is said of a pin by it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.annotations.confidence import annotate, said_by_text, votes
from operators.annotations.dictionary import Dictionary
from operators.annotations.phrases import phrases
from operators.annotations.spans import WEIGHTS
from operators.annotations.words import Text, pin_text

TEXTS = st.lists(st.lists(st.integers(0, 5), max_size=8).map(lambda row: np.array(row, np.int64)), max_size=12)
NAMES = ("ALTA", "BRISK", "CORA", "DUNE", "ELM")


def counted(texts: list[np.ndarray]) -> Dictionary:
    dictionary = Dictionary(1 << 10)
    for text in texts:
        dictionary.add(phrases(text))
    return dictionary


@given(TEXTS, TEXTS, st.randoms())
def test_any_order_any_split_and_taking_back_give_the_same(one: list, other: list, random) -> None:
    both = counted(one + other)
    shuffled = one + other
    random.shuffle(shuffled)
    merged = counted(one)
    merged.merge(counted(other))
    taken_back = counted(one + other + other)
    for text in other:
        taken_back.remove(phrases(text))
    at_once = Dictionary(1 << 10)
    filled = [text for text in one + other if len(text)]
    at_once.add_many(
        np.concatenate([np.zeros(0, np.int64), *filled]), np.cumsum([len(text) for text in filled], dtype=np.int64)
    )
    for text in one + other:
        asked = phrases(text).ids
        expected = both.counts(asked)
        for found in (counted(shuffled), merged, taken_back, at_once):
            np.testing.assert_array_equal(found.counts(asked), expected)
        # Never too small: on at least as many pins as really have it.
        for start, last in np.argwhere(asked > 0).tolist():
            really = sum(asked[start, last] in phrases(each).ids for each in one + other)
            assert expected[start, last] >= really


def test_widths_must_agree() -> None:
    with pytest.raises(ValueError, match="width"):
        Dictionary(1000)
    with pytest.raises(ValueError, match="different"):
        Dictionary(16).merge(Dictionary(32))


def corpus() -> list[Text]:
    """Five makers of four things; every text has the same small words."""
    things = ("dining table", "table lamp", "swivel chair", "floor lamp")
    return [
        pin_text(f"{name} {thing}", f"The {thing} is for the home, and for {place}.")
        for name in NAMES
        for thing in things
        for place in ("you", "guests", "work")
    ]


def dictionary_of(texts: list[Text]) -> Dictionary:
    dictionary = Dictionary()
    for text in texts:
        dictionary.add(phrases(text.ids()))
    return dictionary


def test_phrases_of_the_title_come_first_and_small_words_nowhere() -> None:
    dictionary = dictionary_of(corpus())
    found = annotate(said_by_text(pin_text("CORA Dining table", "It is for the home."), dictionary))
    assert "dining table" in {each.phrase for each in found[:2]}
    assert [each.confidence for each in found] == sorted((each.confidence for each in found), reverse=True)
    edges = {word for each in found for word in (each.phrase.split()[0], each.phrase.split()[-1])}
    assert not edges & {"the", "is", "for"}
    whole, part = (next(each.confidence for each in found if each.phrase == name) for name in ("dining table", "table"))
    assert 1 > whole > part > 0


def test_a_phrase_that_nobody_else_has_is_not_in_the_dictionary() -> None:
    dictionary = dictionary_of([*corpus(), pin_text("Quixotic zeppelin")])
    assert said_by_text(pin_text("Quixotic zeppelin"), dictionary) == {}
    assert said_by_text(pin_text(""), dictionary) == {}
    kept = replace(WEIGHTS, least_pins=1)
    assert set(said_by_text(pin_text("Quixotic zeppelin"), dictionary, kept)) == {"quixotic", "zeppelin"}


def test_a_title_says_more_than_a_description() -> None:
    dictionary = dictionary_of(corpus())
    title = said_by_text(pin_text("Floor lamp"), dictionary)["floor lamp"]
    description = said_by_text(pin_text("", "Floor lamp"), dictionary)["floor lamp"]
    both = said_by_text(pin_text("Floor lamp", "Floor lamp"), dictionary)["floor lamp"]
    assert both > title > description


CONFIDENCE = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 1), max_size=4)


@given(CONFIDENCE, st.lists(st.tuples(st.floats(-1, 1), CONFIDENCE), max_size=4))
def test_neighbours_only_add_and_stay_within_bounds(own: dict[str, float], neighbours: list) -> None:
    voted = votes(neighbours)
    assert all(0 <= vote <= 1 + 1e-9 for vote in voted.values())
    joined = dict(annotate(own, [(0.6, voted)]))
    assert all(0 <= confidence <= 1 for confidence in joined.values())
    for phrase, confidence in own.items():
        assert joined[phrase] >= round(confidence, 6) - 1e-6


def test_neighbours_that_agree_count_more_and_so_do_closer_ones() -> None:
    assert votes([(0.9, {"sofa": 0.8}), (0.9, {"sofa": 0.8})])["sofa"] == pytest.approx(0.8)
    split = votes([(0.9, {"sofa": 0.8}), (0.3, {"lamp": 0.8})])
    assert split["sofa"] == pytest.approx(0.6) and split["lamp"] == pytest.approx(0.2)
    assert votes([(-0.5, {"sofa": 1.0})]) == {}
