"""How sure it is that a phrase says what a pin is about.

``confidence = 1 - Π (1 - said)`` over the fields that the phrase stands in and the votes of neighbours. Each field is a
witness, whose word is what :func:`operators.annotations.spans.worth` gives; neighbours are one more, worth what they
agree on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.annotations.dictionary import Dictionary, Floats
from operators.annotations.spans import WEIGHTS, Weights, worth
from operators.annotations.words import BREAK, Text, phrase_of, stands_alone

#: Power of the cosine: of vectors that are all much alike, only the nearest should speak.
SHARPNESS = 8
#: Annotations of one pin.
MOST = 16


class Annotation(NamedTuple):
    """A phrase and how sure it is, 0 … 1."""

    phrase: str
    confidence: float


def said_by_texts(texts: Sequence[Text], dictionary: Dictionary, weights: Weights = WEIGHTS) -> list[dict[str, float]]:
    """Of each text the phrases that the dictionary holds, with what the text alone says for them, 0 … 1."""
    # As one text, with a break after each: no phrase goes over a break.
    words = [word for text in texts for word in (*text.words, BREAK)]
    fields = [field for text in texts for field in (*text.fields, 0)]
    ids = np.array([each for text in texts for each in (*text.ids, 0)], np.int64)
    alone = np.array([stands_alone(word) for word in words], np.bool_)
    said = worth(ids, alone, np.array(fields, np.int64), dictionary, weights)
    starts, lasts = np.nonzero(said)
    values = said[starts, lasts]
    of = np.searchsorted(np.cumsum([len(text.words) + 1 for text in texts]), starts, side="right")
    # In order of place where equal, so that what is left out of a long text does not depend on the machine.
    order = np.lexsort((-values, of))
    order = order[np.arange(len(of)) - np.searchsorted(of, of) < 2 * MOST]
    doubts = [dict[str, float]() for _ in texts]
    heard: set[tuple[int, str, int]] = set()
    for text, start, last, value in zip(*(each[order].tolist() for each in (of, starts, lasts, values)), strict=True):
        phrase = phrase_of(words[start : start + last + 1])
        witness = text, phrase, fields[start]
        if witness not in heard:  # the best of a field comes first
            heard.add(witness)
            doubts[text][phrase] = doubts[text].get(phrase, 1.0) * (1.0 - value)
    return [{phrase: 1.0 - doubt for phrase, doubt in each.items()} for each in doubts]


def closeness(cosines: NDArray[np.floating[Any]]) -> Floats:
    """How much the word of pins that look alike counts, by cosine: any shape, 0 … 1. Only what is close counts much."""
    return np.maximum(0.0, np.asarray(cosines, np.float64)) ** SHARPNESS


def votes(neighbours: Iterable[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    """What neighbours agree on, 0 … 1: the mean of their confidences, each weighted by its similarity (0 … 1)."""
    total, found = 0.0, dict[str, float]()
    for similarity, said in neighbours:
        weight = max(0.0, similarity)
        total += weight
        for phrase, confidence in said.items():
            found[phrase] = found.get(phrase, 0.0) + weight * confidence
    return {phrase: points / total for phrase, points in found.items()} if total else {}


def annotate(own: Mapping[str, float], voted: Iterable[tuple[float, Mapping[str, float]]] = ()) -> list[Annotation]:
    """A pin's annotations, surest first (equal ones by phrase): its own phrases, and what neighbours say.

    ``voted`` has what each kind of neighbours is worth, and its :func:`votes`.
    """
    joined = dict(own)
    for worth_, vote in voted:
        for phrase, share in vote.items():
            joined[phrase] = 1.0 - (1.0 - joined.get(phrase, 0.0)) * (1.0 - worth_ * share)
    ordered = sorted([(-round(confidence, 6), phrase) for phrase, confidence in joined.items()])
    return [Annotation(phrase, -negative) for negative, phrase in ordered[:MOST]]
