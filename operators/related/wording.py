"""A pin's words as a question: other pins that are about the same."""

from __future__ import annotations

import numpy as np

from operators.annotations.pin_words import PinWords
from operators.annotations.words import Field
from operators.batch import Ints

#: What a word of each field weighs in the question; words of links name files.
WEIGHTS = {Field.TITLE: 1.0, Field.DESCRIPTION: 0.25, Field.BOARD: 0.5, Field.SEEN: 0.5}
#: Words of one question: of a longer text the first ones.
MOST_WORDS = 48


def question(words: PinWords) -> list[tuple[Ints, float]]:
    """Phrases of one pin's words, each with its weight, for :meth:`TextIndex.search`; none of a pin without words."""
    breaks = (words.words == 0) | (np.diff(words.fields.astype(np.int64), prepend=-1) != 0)
    phrases: list[tuple[Ints, float]] = []
    seen: set[tuple[int, ...]] = set()
    left = MOST_WORDS
    for run, fields in zip(
        np.split(words.words, np.flatnonzero(breaks)), np.split(words.fields, np.flatnonzero(breaks)), strict=True
    ):
        said = run[run != 0][:left]
        name = tuple(said.tolist())
        if not name or name in seen:
            continue
        weight = WEIGHTS.get(Field(int(fields[-1])), 0.0)
        if weight > 0:
            seen.add(name)
            phrases.append((said, weight))
            left -= len(said)
        if left <= 0:
            break
    return phrases
