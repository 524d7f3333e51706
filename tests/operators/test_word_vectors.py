"""Texts as vectors without a vocabulary: about the cosines of the bags of words."""

from __future__ import annotations

import numpy as np

from operators.annotations.pin_words import PinWords
from operators.annotations.word_vectors import WIDTH, word_vectors
from operators.annotations.words import Field


def of(*texts: list[int], field: Field = Field.TITLE) -> PinWords:
    words = np.array([word for text in texts for word in text], np.int64)
    ends = np.cumsum([len(text) for text in texts])
    return PinWords(np.arange(1, len(texts) + 1), ends, words, np.full(len(words), field, np.uint8))


def test_cosines_are_about_those_of_the_words() -> None:
    random = np.random.default_rng(0)
    names = random.integers(1, 2**62, 40)
    texts = [random.choice(40, 8, replace=False) for _ in range(200)]
    found = word_vectors(of(*(names[text].tolist() for text in texts)))
    bags = np.zeros((200, 40))
    for row, text in enumerate(texts):
        bags[row, text] = 1
    bags /= np.linalg.norm(bags, axis=1, keepdims=True)
    apart = np.abs(found @ found.T - bags @ bags.T)
    assert apart.mean() < 0.06 and apart.max() < 0.35
    assert found.shape == (200, WIDTH) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_no_words_and_breaks_are_nothing_and_order_is_nothing() -> None:
    found = word_vectors(of([], [0], [5, 0, 6], [6, 5]))
    assert not found[:2].any()
    np.testing.assert_allclose(found[2], found[3], atol=1e-6)


def test_titles_weigh_more_than_descriptions() -> None:
    both = PinWords(
        np.array([1]), np.array([2]), np.array([5, 6]), np.array([Field.TITLE, Field.DESCRIPTION], np.uint8)
    )
    title, description = word_vectors(of([5], [6]))
    (mixed,) = word_vectors(both)
    assert mixed @ title > 2 * (mixed @ description)
