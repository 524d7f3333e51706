"""How sure it is that a phrase says what a pin is about.

``confidence = 1 - Π (1 - said)`` over the fields that the phrase stands in and the votes of neighbours. Each field is a
witness, whose word is what :func:`operators.annotations.spans.worth` gives; neighbours are one more, worth what they
agree on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.annotations.dictionary import Dictionary, Floats
from operators.annotations.spans import WEIGHTS, Weights, worth
from operators.annotations.words import Text, phrase_of, stands_alone

#: Power of the cosine: of vectors that are all much alike, only the nearest should speak.
SHARPNESS = 8
#: Annotations of one pin.
MOST = 16


class Annotation(NamedTuple):
    """A phrase and how sure it is, 0 … 1."""

    phrase: str
    confidence: float


def said_by_text(text: Text, dictionary: Dictionary, weights: Weights = WEIGHTS) -> dict[str, float]:
    """The phrases of a text that the dictionary holds, with what the text alone says for them, 0 … 1."""
    alone = np.fromiter(map(stands_alone, text.words), np.bool_, len(text.words))
    fields = np.array(text.fields, np.int64)
    said = worth(text.ids(), alone, fields, dictionary, weights)
    # In order of place where equal, so that what is left out of a long text does not depend on the machine.
    best = np.argsort(-said, axis=None, kind="stable")[: min(2 * MOST, np.count_nonzero(said))]
    starts, lasts = np.unravel_index(best, said.shape)
    witnesses: dict[tuple[str, int], float] = {}
    for start, last, value in zip(starts.tolist(), lasts.tolist(), said[starts, lasts].tolist(), strict=True):
        witness = phrase_of(text.words[start : start + last + 1]), text.fields[start]
        witnesses[witness] = max(witnesses.get(witness, 0.0), value)
    doubts: dict[str, float] = {}
    for (phrase, _), value in witnesses.items():
        doubts[phrase] = doubts.get(phrase, 1.0) * (1.0 - value)
    return {phrase: 1.0 - doubt for phrase, doubt in doubts.items()}


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
    rounded = ((phrase, round(confidence, 6)) for phrase, confidence in joined.items())
    return [Annotation(*each) for each in sorted(rounded, key=lambda each: (-each[1], each[0]))[:MOST]]
