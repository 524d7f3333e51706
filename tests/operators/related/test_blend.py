"""Joining sources by hand, and questions made of a pin's words."""

from __future__ import annotations

import numpy as np
import pytest

from operators.annotations.pin_words import PinWords
from operators.annotations.words import Field
from operators.related.blend import UNNAMED, Weight, blend, boosted
from operators.related.wording import MOST_WORDS, question
from operators.slate.candidates import Found


def found(*pairs: tuple[int, float]) -> Found:
    return Found(np.array([pin for pin, _ in pairs]), np.array([score for _, score in pairs], np.float32))


def test_places_and_scores_by_hand() -> None:
    weights = {"boards": Weight(1.0, 0.5, relative=True), "visual": Weight(2.0)}
    joined = blend({"boards": found((1, 9.0), (2, 5.0), (3, 1.0)), "visual": found((2, 0.8), (4, 0.7))}, weights)
    assert joined.ids.tolist() == [2, 4, 1, 3]
    expected = [5 / 7 + 0.25 + 10 / 6, 10 / 7, 5 / 6 + 0.5, 5 / 8]
    assert joined.scores == pytest.approx(expected)


def test_boards_speak_for_walks_that_are_not_asked() -> None:
    weights = {"boards": Weight(0.0, 0.1), "walks": Weight(0.0, 0.9)}
    assert blend({"boards": found((1, 2.0))}, weights).scores == pytest.approx([0.9])
    assert blend({"boards": found((1, 2.0)), "walks": found((3, 1.0))}, weights).scores == pytest.approx([0.9, 0.1])


def test_scores_that_count_something_count_from_zero() -> None:
    joined = blend({"walks": found((1, 100.0), (2, 90.0))}, {"walks": Weight(0.0, 1.0)})
    assert joined.scores == pytest.approx([1.0, 0.9])


def test_a_source_without_a_weight_counts_a_little_and_nothing_found_is_nothing() -> None:
    joined = blend({"new": found((7, 1.0)), "boards": found()})
    assert joined.ids.tolist() == [7] and joined.scores[0] == pytest.approx(UNNAMED.place * 5 / 6)
    assert not len(blend({}).ids)


def test_equal_scores_are_in_order_of_ids() -> None:
    joined = blend({"one": found((9, 1.0)), "other": found((3, 1.0))})
    assert joined.ids.tolist() == [3, 9]


def test_what_is_clicked_more_than_expected_rises_or_comes_in() -> None:
    joined = boosted(blend({"new": found((1, 2.0), (2, 1.0))}), np.array([2, 5]), np.array([1.0, 3.0]), gamma=0.5)
    assert joined.ids.tolist() == [5, 2, 1]
    assert joined.scores == pytest.approx([1.5, UNNAMED.place * 5 / 7 + 0.5, UNNAMED.place * 5 / 6])


def test_a_question_has_each_phrase_once_by_the_weight_of_its_field() -> None:
    fields = [Field.TITLE] * 4 + [Field.DESCRIPTION] * 2 + [Field.LINK] * 2 + [Field.SEEN] * 2
    words = PinWords(
        np.array([1]), np.array([10]), np.array([5, 6, 0, 7, 0, 8, 0, 9, 0, 7]), np.array(fields, np.uint8)
    )
    asked = [(run.tolist(), weight) for run, weight in question(words)]
    assert asked == [([5, 6], 1.0), ([7], 1.0), ([8], 0.25)]


def test_a_question_is_bounded() -> None:
    many = np.arange(1, 400)
    words = PinWords(np.array([1]), np.array([399]), many, np.zeros(399, np.uint8))
    assert sum(len(run) for run, _ in question(words)) == MOST_WORDS
    nothing = PinWords(np.array([1]), np.array([0]), np.zeros(0, np.int64), np.zeros(0, np.uint8))
    assert question(nothing) == []
