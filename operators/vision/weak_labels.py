"""Weak labels: what a crop shows, by a vote of the annotations of its nearest neighbours.

``label = argmax_c Σ_{n ∈ kNN} s(crop, n) · conf(n, c) · idf(c)``, kept when it wins by more than a margin: how
Pinterest made training data for its detector from what people crop (Zhai et al., "Visual Discovery at Pinterest",
WWW 2017, names neighbours and annotations; the formula is ours).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints

Floats = NDArray[np.float64]

#: Stands where there is no annotation, no neighbour or no label.
NONE = -1


class Voting(NamedTuple):
    """How neighbours vote. The defaults were chosen on real boxes (``docs/weak-labels.md``)."""

    #: Neighbours that vote.
    neighbours: int = 20
    #: A neighbour whose cosine is less by this much has a vote of 1/e.
    temperature: float = 0.05
    #: Power of the inverse frequency: 0, all categories alike; 1, rare ones in full.
    rarity: float = 0.0
    #: Votes for nothing at all, so that a crop far from everything wins by little.
    doubt: float = 0.0


#: As chosen on real boxes.
CHOSEN = Voting()


class WeakLabels(NamedTuple):
    """A label for each crop; all ``(q,)``."""

    #: Category, :data:`NONE` without any annotated neighbour.
    labels: Ints
    #: Its share of all votes, 0 … 1.
    scores: Floats
    #: By how much of all votes it is ahead of the second.
    margins: Floats

    def kept(self, margin: float) -> NDArray[np.bool_]:
        """Which are certain enough to be used: ahead by more than ``margin``."""
        return (self.labels != NONE) & (self.margins > margin)


def inverse_frequency(categories: Ints, count: int, power: float) -> Floats:
    """``idf(c) = ln(1 + n / (1 + n_c)) ** power`` of annotated items ``(n, m)``, padded with -1 → ``(count,)``."""
    items = len(categories)
    of_item = np.repeat(np.arange(items), categories.shape[1])
    said = np.unique(np.stack([of_item, categories.ravel()])[:, categories.ravel() != NONE], axis=1)
    return np.log1p(items / (1 + np.bincount(said[1], minlength=count))) ** power


def vote(
    similarities: Floats, categories: Ints, confidences: Floats, idf: Floats, voting: Voting = CHOSEN
) -> WeakLabels:
    """The label of each crop.

    Args:
        similarities: cosines of each crop's neighbours, ``(q, k)``, in any order; -inf where there is none.
            The ``voting.neighbours`` nearest are used.
        categories: what each neighbour is annotated with, ``(q, k, m)``, padded with -1.
        confidences: how certain each annotation is, ``(q, k, m)``, 0 … 1.
        idf: weight of each category, ``(C,)``, by :func:`inverse_frequency`.

    Equal votes go to the smaller category.

    Raises:
        ValueError: the temperature is not above 0.
    """
    if not voting.temperature > 0:
        raise ValueError(f"a temperature of {voting.temperature} is not above 0")
    crops, count = len(similarities), len(idf)
    if not similarities.size or not categories.size or not count:
        return WeakLabels(np.full(crops, NONE), np.zeros(crops), np.zeros(crops))
    nearest = np.argsort(-similarities, axis=1, kind="stable")[:, : voting.neighbours]
    cosines = np.take_along_axis(similarities, nearest, 1)
    said = np.take_along_axis(categories, nearest[..., None], 1)
    weights = np.exp((cosines - 1) / voting.temperature)[..., None] * np.take_along_axis(
        confidences, nearest[..., None], 1
    )
    there = said != NONE
    weights = weights * idf[said] * there
    places = np.where(there, said, 0) + np.arange(crops)[:, None, None] * count
    votes = np.bincount(places.ravel(), weights.ravel(), crops * count).reshape(crops, count)
    total = votes.sum(1)
    labels = votes.argmax(1)
    best = votes.max(1)
    votes[np.arange(crops), labels] = 0
    everything = np.where(total > 0, total + voting.doubt, 1)
    return WeakLabels(np.where(total > 0, labels, NONE), best / everything, (best - votes.max(1)) / everything)
