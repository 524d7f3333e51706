"""Precision against coverage of weak labels, with everything that can be chosen chosen on other photos."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple
from zlib import crc32

import numpy as np

from operators.vision.weak_labels import Voting, WeakLabels, inverse_frequency, vote
from operators.vision.whitening import Whitening

#: Photos are put in so many parts by their names.
PARTS = 10
COVERAGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
WANTED = 0.5
GRID = [Voting(*each) for each in product((10, 20, 40), (0.05, 0.1, 0.2), (0.0, 0.5), (0.0, 0.05))]
#: A crop below this share of the picture comes after all larger ones.
SMALLEST = (0.0, 0.001, 0.004)


class Boxes(NamedTuple):
    """Boxes of known class: vectors of the boxes themselves, and of people's crops of them."""

    photos: np.ndarray  # (n,) text
    classes: np.ndarray  # (n,)
    areas: np.ndarray  # (n,) shares of the picture
    memory: np.ndarray  # (views, n, d)
    crops: np.ndarray  # (views, n, d)


class Found(NamedTuple):
    correct: np.ndarray
    margins: np.ndarray


def parts(photos: np.ndarray) -> np.ndarray:
    """The part in which each photo is, by its name alone."""
    return np.array([crc32(name.encode()) % PARTS for name in photos.tolist()])


def similarities(boxes: Boxes, memory: np.ndarray, dimensions: int) -> np.ndarray:
    """Mean cosine over the views of every crop with every box of the memory ``(n,)`` (a mask), -inf elsewhere.

    A crop never sees boxes of its own photo. With ``dimensions`` vectors are whitened, as the memory's vary.
    """
    total = np.zeros((len(boxes.classes),) * 2)
    for held, asked in zip(boxes.memory, boxes.crops, strict=True):
        if dimensions:
            whiten = Whitening.of(held[memory], dimensions)
            held, asked = whiten(held), whiten(asked)
        total += asked @ held.T
    total /= len(boxes.memory)
    total[:, ~memory] = -np.inf
    total[boxes.photos[:, None] == boxes.photos] = -np.inf
    return total


def voted(boxes: Boxes, cosines: np.ndarray, memory: np.ndarray, voting: Voting) -> WeakLabels:
    nearest = np.argpartition(-cosines, 2 * voting.neighbours, axis=1)[:, : 2 * voting.neighbours]
    categories = boxes.classes[nearest][..., None]
    idf = inverse_frequency(boxes.classes[memory][:, None], int(boxes.classes.max()) + 1, voting.rarity)
    return vote(np.take_along_axis(cosines, nearest, 1), categories, np.ones(categories.shape), idf, voting)


def held_out(boxes: Boxes, dimensions: int) -> tuple[Found, list[tuple[Voting, float]]]:
    """Every box labelled once, by a memory of the other parts, in the way that was best among those.

    Also returns the ways chosen, one a part.
    """
    part = parts(boxes.photos)
    correct, margins = np.zeros(len(part), np.bool_), np.zeros(len(part))
    chosen: list[tuple[Voting, float]] = []
    for test in range(PARTS):
        memory, asked = part != test, part == test
        cosines = similarities(boxes, memory, dimensions)
        found = {way: _found(boxes, voted(boxes, cosines, memory, way)) for way in GRID}
        voting, smallest = max(
            product(GRID, SMALLEST),
            key=lambda way: precision_at(_small_last(found[way[0]], boxes.areas, way[1]), memory, WANTED),
        )
        chosen.append((voting, smallest))
        best = _small_last(found[voting], boxes.areas, smallest)
        correct[asked] = best.correct[asked]
        # Margins of ways that differ cannot be compared: each becomes its place among those of the other parts.
        margins[asked] = np.searchsorted(np.sort(best.margins[memory]), best.margins[asked]) / memory.sum()
    return Found(correct, margins), chosen


def precision_at(found: Found, among: np.ndarray, coverage: float) -> float:
    """Share of right labels among the ``coverage`` of boxes with the largest margins."""
    order = np.argsort(-found.margins[among], kind="stable")
    return float(found.correct[among][order][: max(1, round(coverage * len(order)))].mean())


def coverage_at(found: Found, precision: float) -> float:
    """The largest share of boxes whose labels are right with this precision."""
    right = found.correct[np.argsort(-found.margins, kind="stable")]
    enough = np.flatnonzero(np.cumsum(right) / np.arange(1, len(right) + 1) >= precision)
    return float((enough[-1] + 1) / len(right)) if len(enough) else 0.0


def _found(boxes: Boxes, given: WeakLabels) -> Found:
    return Found(given.labels == boxes.classes, given.margins)


def _small_last(found: Found, areas: np.ndarray, smallest: float) -> Found:
    return Found(found.correct, np.where(areas < smallest, found.margins - 2, found.margins))
