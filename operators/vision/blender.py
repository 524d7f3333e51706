"""The blender of Lens: how much of the answer each way of searching gives, and the answers interleaved.

Three sources can answer a photo: visual search (pins and objects that look alike), object search (scenes with such
objects) and text (what the photo shows, in words). Which of them to trust depends on what was understood of the photo
("Visual Discovery at Pinterest", WWW 2017, names the sources and says that ratios change; how is ours). The table in
``docs/lens.md`` is the one in this file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from operators.vision.subjects import is_food, is_place
from operators.vision.turns import Turns

VISUAL, OBJECTS, TEXT = SOURCES = ("visual", "objects", "text")
#: What every source that can be asked gets at least, so that a wrong understanding never silences it.
FLOOR = 0.05
#: An object that covers this much of the picture is what the picture is of.
LARGE = 0.25
#: With this much confidence in objects beside the first one (three certain ones) a scene is as busy as it gets.
BUSY = 3.0

#: Source → feature → weight; what a feature is says :func:`features`. A softmax turns the sums into ratios.
#: The first detection's confidence is in ``top`` and ``alone`` only, where text has no weight, and the category's in
#: those features only where the others have none: so each can but raise the share of its own side.
WEIGHTS: Mapping[str, Mapping[str, float]] = {
    VISUAL: {"always": 1.0, "alone": 1.5},
    OBJECTS: {"always": -0.5, "top": 1.0, "busy": 2.0},
    TEXT: {"always": -0.5, "named": 0.5, "named, poor": 2.0, "named, unseen": 2.5, "named, of words": 3.0},
}


class Seen(NamedTuple):
    """What was understood of a photo; shares, confidences and qualities in 0 … 1.

    Attributes:
        confidences: of the detected objects, most certain first.
        areas: their boxes' shares of the picture.
        quality: :attr:`operators.vision.photo_quality.PhotoQuality.quality`.
        category: a detector's label or an annotation; empty when nothing is known.
        category_confidence: how sure the category is.
    """

    confidences: tuple[float, ...]
    areas: tuple[float, ...]
    quality: float
    category: str
    category_confidence: float


class Blend(NamedTuple):
    """Ratios of the sources, which add up to 1, and plain sentences that say why."""

    ratios: dict[str, float]
    reasons: list[str]


def features(seen: Seen) -> dict[str, float]:
    """What the ratios depend on, each in 0 … 1.

    ``top`` is the confidence of the first detection and ``alone`` the same, less the smaller it is in the picture and
    the more else was found. Those of text count only as far as there is a category to search for: in a ``poor`` photo,
    where the detector saw nothing (``unseen``), and for what is found best in words (``of words``: food and places).
    """
    top = _share(seen.confidences[0]) if seen.confidences else 0.0
    fills = min(1.0, _share(seen.areas[0]) / LARGE) if seen.areas else 0.0
    busy = min(1.0, sum(map(_share, seen.confidences[1:])) / BUSY)
    named = _share(seen.category_confidence) if seen.category else 0.0
    return {
        "always": 1.0,
        "top": top,
        "alone": top * fills * (1 - busy),
        "busy": busy,
        "named": named,
        "named, poor": named * (1 - _share(seen.quality)),
        "named, unseen": named * (1 - top),
        "named, of words": named * (is_food(seen.category) or is_place(seen.category)),
    }


def blend_ratios(seen: Seen, available: Collection[str] = SOURCES) -> Blend:
    """How much of the answer each available source gives.

    A larger confidence of the first detection never lowers visual and object search together, and a larger one of the
    category never lowers text. Sources that are not available get 0.

    Raises:
        ValueError: no source is available, or one is not known.
    """
    if not available or not set(available) <= set(SOURCES):
        raise ValueError(f"sources are some of {', '.join(SOURCES)}, not {sorted(available)}")
    asked = [name for name in SOURCES if name in available]
    found = features(seen)
    sums = [math.exp(sum(weight * found[each] for each, weight in WEIGHTS[name].items())) for name in asked]
    spread = 1 - FLOOR * len(asked)
    shares = dict(zip(asked, (FLOOR + spread * one / sum(sums) for one in sums), strict=True))
    ratios = {name: shares.get(name, 0.0) for name in SOURCES}
    return Blend(ratios, [*_reasons(seen, found), *_outcome(ratios, asked)])


def blend(found: Mapping[str, Sequence[int]], ratios: Mapping[str, float], n: int) -> list[tuple[int, str]]:
    """At most ``n`` ids, each with the source that it is from; the same input gives the same order.

    Each source keeps its own order, and every prefix follows the ratios as closely as whole numbers can
    (:class:`Turns`). An id that several sources found is taken once, from the one that places it first. A source that
    runs dry leaves its share to the others from there on; one with a ratio of 0, or with none, is left out.
    """
    queues = {name: iter(found[name]) for name in sorted(found) if ratios.get(name, 0) > 0}
    blended: dict[int, str] = {}
    heads: dict[str, int] = {}
    turns = Turns({})
    while len(blended) < n:
        for name, queue in queues.items():
            if name not in heads or heads[name] in blended:
                heads.pop(name, None)
                heads.update((name, one) for one in islice((one for one in queue if one not in blended), 1))
        if not heads:
            break
        if turns.ratios.keys() != heads.keys():
            turns = Turns({name: ratios[name] for name in heads})
        source = turns.next()
        blended[heads[source]] = source
    return list(blended.items())


def _reasons(seen: Seen, found: Mapping[str, float]) -> Iterator[str]:
    if not seen.confidences:
        yield "No object was found."
    elif len(seen.confidences) == 1:
        yield f"One object was found, {found['top']:.0%} certain, on {_share(seen.areas[0]):.0%} of the picture."
    else:
        yield f"{len(seen.confidences)} objects were found, the first {found['top']:.0%} certain."
    if found["alone"] >= _NOTABLE:
        yield "It stands alone and large, which speaks for visual search."
    if found["busy"] >= _NOTABLE:
        yield "The scene is busy, which speaks for object search."
    if not seen.category:
        yield "No category is known, so there is little to search for in words."
        return
    kind = "food" if is_food(seen.category) else "a place" if is_place(seen.category) else ""
    known = f"The category is {seen.category!r}, {found['named']:.0%} certain"
    yield f"{known}: {kind}, which words find best." if kind else f"{known}."
    if found["named, poor"] >= _NOTABLE:
        yield f"The photo is poor (quality {_share(seen.quality):.2f}), which speaks for searching in words."


def _outcome(ratios: Mapping[str, float], asked: Sequence[str]) -> Iterator[str]:
    yield "So " + ", ".join(f"{ratios[name]:.0%} {name}" for name in asked) + "."
    for name in SOURCES:
        if name not in asked:
            yield f"{name.capitalize()} could not be asked; the others share its part."


#: A feature this large is worth a sentence.
_NOTABLE = 0.3


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
