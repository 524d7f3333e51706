"""The text index against a plain one, while pins come, change and go."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.annotations import text_index
from operators.annotations.pin_texts import PinTexts
from operators.annotations.pin_words import PinWords
from operators.annotations.postings import FIELD_WEIGHTS
from operators.annotations.text_index import BM25, Hits, TextIndex
from operators.annotations.words import Field

Words = list[tuple[int, int]]  # (word or 0, field)
TEXT: st.SearchStrategy[Words] = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), max_size=9)
CHANGES = st.lists(st.tuples(st.integers(1, 6), TEXT), max_size=25)
QUERY = st.lists(
    st.tuples(st.lists(st.integers(1, 8), min_size=1, max_size=3), st.floats(0.1, 2)), min_size=1, max_size=3
)


def put(index: TextIndex, rows: list[tuple[int, Words]]) -> None:
    index.put(pin_words(rows))


def plainly(texts: Mapping[int, Words], query: list[tuple[list[int], float]]) -> dict[int, float]:
    """The same scores by the formula, pin by pin."""
    texts = {pin: text for pin, text in texts.items() if text}
    lengths = {pin: sum(word > 0 for word, _ in text) for pin, text in texts.items()}
    mean = max(1.0, sum(lengths.values()) / len(texts)) if texts else 1.0
    found: dict[int, float] = {}
    for phrase, weight in query:
        shares: list[float] = []
        for word in phrase:
            has = [pin for pin, text in texts.items() if any(other == word for other, _ in text)]
            rarity = math.log1p((len(texts) - len(has) + 0.5) / (len(has) + 0.5)) if has else 0.0
            shares.append(weight * rarity)
            for pin in has:
                times = min(255, sum(int(FIELD_WEIGHTS[field]) for other, field in texts[pin] if other == word)) / 16
                damp = BM25.slope * (1 - BM25.short + BM25.short * lengths[pin] / mean)
                found[pin] = found.get(pin, 0.0) + shares[-1] * times * (1 + BM25.slope) / (times + damp)
        if len(phrase) > 1 and all(shares):
            for pin, text in texts.items():
                runs = [text[at : at + len(phrase)] for at in range(len(text) - len(phrase) + 1)]
                best = [int(FIELD_WEIGHTS[run[0][1]]) for run in runs if [word for word, _ in run] == phrase]
                if best:
                    found[pin] += BM25.phrase * sum(shares) * max(best) / 16
    return found


def asked(index: TextIndex, query: list[tuple[list[int], float]], k: int = 10) -> Hits:
    return index.search([(np.array(phrase, np.int64), weight) for phrase, weight in query], k)


@given(CHANGES, st.integers(1, 5), QUERY, st.integers(0, 3))
def test_answers_are_those_of_the_formula_whatever_came_before(changes, size, query, least_dead) -> None:
    before = text_index._LEAST_DEAD
    text_index._LEAST_DEAD = least_dead  # so that sweeping happens as well
    try:
        index = TextIndex()
        for start in range(0, len(changes), size):
            put(index, changes[start : start + size])
    finally:
        text_index._LEAST_DEAD = before
    texts = {pin: text for pin, text in dict(changes).items() if text}
    expected = plainly(texts, query)
    hits = asked(index, query)
    assert dict(zip(hits.pins.tolist(), hits.scores.tolist(), strict=True)) == pytest.approx(expected, abs=1e-6)
    assert hits.scores.tolist() == sorted(hits.scores.tolist(), reverse=True)
    assert len(index) == len(texts)
    assert held_by(index) == texts
    fresh = TextIndex()
    put(fresh, sorted(texts.items()))
    again = asked(fresh, query)
    assert (again.pins.tolist(), again.scores.tolist()) == (hits.pins.tolist(), hits.scores.tolist())
    assert asked(index, query, 2).pins.tolist() == hits.pins[:2].tolist()


def test_side_by_side_comes_before_apart_and_a_title_before_a_description() -> None:
    index = TextIndex()
    title, description = int(Field.TITLE), int(Field.DESCRIPTION)
    put(index, [(1, [(5, title), (0, title), (6, title)]), (2, [(5, title), (6, title)]), (3, [(9, title)])])
    put(index, [(4, [(5, description), (6, description)])])
    assert asked(index, [([5, 6], 1.0)]).pins.tolist()[:2] == [2, 1]
    assert asked(index, [([5, 6], 1.0), ([9], 9.0)]).pins.tolist()[0] == 3
    assert asked(index, [([77], 1.0)]).pins.tolist() == [] == asked(TextIndex(), [([5], 1.0)]).pins.tolist()


@given(CHANGES, CHANGES, st.integers(1, 9))
def test_own_words_and_seen_ones_are_kept_apart_however_they_are_batched(own, seen, size) -> None:
    own = [(pin, [(word, min(field, int(Field.BOARD))) for word, field in text]) for pin, text in own]
    seen = [(pin, [(word, int(Field.SEEN)) for word, _ in text]) for pin, text in seen]
    # Own words, what was seen, and the own words once more, of which some are others by then.
    texts, held, beside = PinTexts(), dict[int, Words](), dict[int, Words]()
    for put_some, rows in ((texts.put_own, own), (texts.put_seen, seen), (texts.put_own, own)):
        for start in range(0, len(rows), size):
            put_some(pin_words(rows[start : start + size]))
        for pin, text in rows:
            if put_some == texts.put_seen:
                beside[pin] = text
            elif text != held.get(pin, []):
                held[pin], beside[pin] = text, []
    expected = {pin: held.get(pin, []) + beside.get(pin, []) for pin in {*held, *beside}}
    assert held_by(texts.index) == {pin: text for pin, text in expected.items() if text}
    # The dictionary counts what pins say, not what was seen in them.
    assert texts.dictionary.pins == sum(bool(text) for text in held.values())
    texts.drop(np.arange(1, 7))
    assert len(texts.index) == 0 == texts.dictionary.pins and not texts.dictionary._cells.any()


def pin_words(rows: list[tuple[int, Words]]) -> PinWords:
    flat = [pair for _, text in rows for pair in text]
    return PinWords(
        np.array([pin for pin, _ in rows], np.int64),
        np.cumsum([len(text) for _, text in rows], dtype=np.int64),
        np.array([word for word, _ in flat], np.int64),
        np.array([field for _, field in flat], np.uint8),
    )


def held_by(index: TextIndex) -> dict[int, Words]:
    """Words of the pins that have some."""
    pins = np.arange(1, 7)
    _, ends, words, fields = index.words_of(pins)
    pairs = list(zip(words.tolist(), fields.tolist(), strict=True))
    return {pin: pairs[end - n : end] for pin, end, n in zip(pins, ends, np.diff(ends, prepend=0), strict=True) if n}
