"""The dictionary as a sum over pins, and what is said of a pin by it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.annotations.confidence import MOST, annotate, said_by_texts, votes
from operators.annotations.dictionary import Dictionary
from operators.annotations.phrases import phrases
from operators.annotations.spans import WEIGHTS, Weights, worth
from operators.annotations.words import Text, phrase_of, pin_text, stands_alone

TEXTS = st.lists(st.lists(st.integers(0, 5), max_size=8).map(lambda row: np.array(row, np.int64)), max_size=12)
NAMES = ("ALTA", "BRISK", "CORA", "DUNE", "ELM")


def counted(texts: list[np.ndarray]) -> Dictionary:
    dictionary = Dictionary(1 << 12)
    for text in texts:
        dictionary.add(text, np.array([len(text)]))
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
        taken_back.remove(text, np.array([len(text)]))
    at_once = Dictionary(1 << 12)
    filled = [text for text in one + other if len(text)]
    at_once.add(
        np.concatenate([np.zeros(0, np.int64), *filled]), np.cumsum([len(text) for text in filled], dtype=np.int64)
    )
    for text in one + other:
        asked = phrases(text)
        expected = both.counts(asked)
        for found in (counted(shuffled), merged, taken_back, at_once):
            np.testing.assert_array_equal(found.counts(asked), expected)
        # Never too small: on at least as many pins as really have it.
        for start, last in np.argwhere(asked > 0).tolist():
            really = sum(asked[start, last] in phrases(each) for each in one + other)
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


def said(text: Text, dictionary: Dictionary, weights: Weights = WEIGHTS) -> dict[str, float]:
    return said_by_texts([text], dictionary, weights)[0]


def plainly(text: Text, dictionary: Dictionary) -> dict[str, float]:
    """What :func:`said_by_texts` says of one text, phrase after phrase."""
    alone = np.array([stands_alone(word) for word in text.words], np.bool_)
    worths = worth(np.array(text.ids, np.int64), alone, np.array(text.fields, np.int64), dictionary)
    places = [(-worths[start, last], start, last) for start, last in np.argwhere(worths > 0).tolist()]
    best: dict[tuple[str, int], float] = {}
    for less, start, last in sorted(places)[: 2 * MOST]:
        witness = phrase_of(text.words[start : start + last + 1]), text.fields[start]
        best[witness] = max(best.get(witness, 0.0), -less)
    phrases_ = {phrase for phrase, _ in best}
    return {
        phrase: 1 - math.prod(1 - value for (other, _), value in best.items() if other == phrase) for phrase in phrases_
    }


SAID = st.lists(st.sampled_from([*"ab1東京", "ox", "Straße", ".", "dining-table"]), max_size=50).map(" ".join)


@given(st.lists(st.tuples(SAID, SAID), max_size=6))
def test_texts_together_say_what_each_says_alone(pairs: list[tuple[str, str]]) -> None:
    texts = [pin_text(*pair) for pair in pairs]
    dictionary = counted([np.array(text.ids, np.int64) for text in texts * 2])
    for text, found in zip(texts, said_by_texts(texts, dictionary), strict=True):
        assert found == pytest.approx(plainly(text, dictionary), abs=1e-12)


def test_phrases_of_the_title_come_first_and_small_words_nowhere() -> None:
    dictionary = counted([np.array(text.ids) for text in corpus()])
    found = annotate(said(pin_text("CORA Dining table", "It is for the home."), dictionary))
    assert "dining table" in {each.phrase for each in found[:2]}
    assert [each.confidence for each in found] == sorted((each.confidence for each in found), reverse=True)
    edges = {word for each in found for word in (each.phrase.split()[0], each.phrase.split()[-1])}
    assert not edges & {"the", "is", "for"}
    whole, part = (next(each.confidence for each in found if each.phrase == name) for name in ("dining table", "table"))
    assert 1 > whole > part > 0


def test_a_phrase_that_nobody_else_has_is_not_in_the_dictionary() -> None:
    dictionary = counted([np.array(text.ids) for text in [*corpus(), pin_text("Quixotic zeppelin")]])
    assert said(pin_text("Quixotic zeppelin"), dictionary) == {}
    assert said(pin_text(""), dictionary) == {}
    kept = replace(WEIGHTS, least_pins=1)
    assert set(said(pin_text("Quixotic zeppelin"), dictionary, kept)) == {"quixotic", "zeppelin"}


def test_a_title_says_more_than_a_description() -> None:
    dictionary = counted([np.array(text.ids) for text in corpus()])
    title = said(pin_text("Floor lamp"), dictionary)["floor lamp"]
    description = said(pin_text("", "Floor lamp"), dictionary)["floor lamp"]
    both = said(pin_text("Floor lamp", "Floor lamp"), dictionary)["floor lamp"]
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
