"""Scenes found by their objects: many nearest objects become few scenes, each once.

Object search ("Visual Discovery at Pinterest", WWW 2017) indexes objects instead of pictures: the query's objects
find the nearest objects, those lead back to their scenes, and a scene is as good as its objects match the query's.
How much each match counts is not published; the rule here is the best of those compared in ``docs/lens.md``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]


class ObjectHits(NamedTuple):
    """Nearest objects of several query objects, one row a hit, ``(h,)`` each.

    Attributes:
        queries: which query object was asked, ``0 … q - 1``.
        scenes: the pin whose picture the found object is in.
        similarities: cosine of query object and found object.
    """

    queries: Rows
    scenes: Ints
    similarities: Floats


class RankedScenes(NamedTuple):
    """Scenes, best first, each once, ``(s,)`` each; equal scores by id.

    Attributes:
        scores: 0 or more, in units of cosine; comparable within one answer only.
        best: the row of the hits that says most for the scene: its object is the one to show.
    """

    scenes: Ints
    scores: NDArray[np.float64]
    best: Rows


def object_weights(confidences: Floats, areas: Floats) -> NDArray[np.float64]:
    """What each query object counts, ``(q,)``, adding up to 1: confidence × the square root of its area's share.

    The root, because an object half as wide and half as high is not four times less wanted.
    """
    counts = np.clip(confidences, 0, 1).astype(np.float64) * np.sqrt(np.clip(areas, 0, 1))
    total = counts.sum()
    return counts / total if total > 0 else np.full(len(counts), 1 / max(len(counts), 1))


def rank_scenes(hits: ObjectHits, weights: NDArray[np.float64], k: int) -> RankedScenes:
    """The ``k`` best scenes for query objects that count ``weights`` ``(q,)``, which add up to 1.

    ``score = Σ_q weight_q · (best similarity of q in the scene - least similarity among q's hits)``: of each query
    object a scene counts once, by its likest object, so that a shelf of a hundred vases does not win by number; and
    only above what that query object finds anyhow, which is all that is known of scenes it did not find.
    """
    floors = np.full(len(weights), np.inf)
    np.minimum.at(floors, hits.queries, hits.similarities)
    keys = np.stack([hits.scenes, hits.queries], axis=1)
    # Of each scene and query the likest row; the earlier one where two are alike.
    order = np.lexsort((np.arange(len(keys)), -hits.similarities, hits.queries, hits.scenes))
    first = np.ones(len(order), np.bool_)
    first[1:] = (keys[order][1:] != keys[order][:-1]).any(axis=1)
    rows = order[first]
    asked = hits.queries[rows]
    parts = weights[asked] * (hits.similarities[rows].astype(np.float64) - floors[asked])
    scenes, place = np.unique(hits.scenes[rows], return_inverse=True)
    # Rounded, so that the order of adding up cannot break a tie.
    scores = np.zeros(len(scenes))
    np.add.at(scores, place, parts)
    scores = np.round(scores, 9)
    by_part = np.lexsort((rows, -hits.similarities[rows], -parts, place))
    best = rows[by_part[np.searchsorted(place[by_part], np.arange(len(scenes)))]]
    top = np.lexsort((scenes, -scores))[:k]
    return RankedScenes(scenes[top], scores[top], best[top])
