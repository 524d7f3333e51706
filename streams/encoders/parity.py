"""Parity: is everything of one index in the other, and does the new one find what it should?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.identity import combined_id
from streams.stores.protocols import EventStore, VectorStore
from streams.understanding import MOST_OBJECTS, MOST_SIDE

Vectors = NDArray[np.float32]
#: Searches that are compared, neighbours of each, and pins whose vectors are read at a time.
QUERIES, NEAREST, PAGE = 100, 10, 200
#: Neighbours so much nearer than another are taken to be at the same distance: the same picture, pinned twice.
SAME = 1e-5


class Share(msgspec.Struct, frozen=True):
    """One kind of rows in two indexes.

    Attributes:
        old, new: rows in each.
        parity: of all rows the share that is in both.
        recall: of the exact ten nearest of a row, the share that the new index finds.
        agreement: of the ten nearest in the old index, the share that the new one names, too.
    """

    old: int
    new: int
    parity: float
    recall: float
    agreement: float


class Parity(msgspec.Struct, frozen=True):
    """Two indexes compared; ``gone`` pins have no picture that could be looked at again."""

    pins: Share
    objects: Share
    gone: int


async def compare(events: EventStore, old: VectorStore, new: VectorStore, gone: int) -> Parity:
    """Go through both indexes once. Raises StoreUnavailable."""
    for store in (old, new):  # reads that follow see what was written before this
        await store.count("pins")
        await store.count("objects")
    pins = await _compare(events, old, new, "pins")
    return Parity(pins, await _compare(events, old, new, "objects"), gone)


async def _compare(events: EventStore, old: VectorStore, new: VectorStore, kind: str) -> Share:
    rng = np.random.default_rng(0)
    counts, chosen = np.zeros(3, np.int64), dict[int, tuple[Vectors, Vectors]]()
    weights: dict[int, float] = {}
    async for ids in _ids(events, kind):
        before, after = await asyncio.gather(old.fetch(kind, ids), new.fetch(kind, ids))
        both = before.keys() & after.keys()
        counts += (len(before), len(after), len(both))
        # A sample of all: each row draws a number, the largest stay.
        for id_, draw in zip(sorted(both), rng.random(len(both)).tolist(), strict=True):
            weights[id_], chosen[id_] = draw, (before[id_], after[id_])
        for id_ in sorted(weights, key=weights.__getitem__)[: max(0, len(weights) - QUERIES)]:
            del weights[id_], chosen[id_]
    there, here, both = counts.tolist()
    either = there + here - both
    parity = both / either if either else 1.0
    if not chosen:
        return Share(there, here, parity, 1.0, 1.0)
    queries = sorted(chosen)
    by_old, by_new = (np.array([chosen[id_][which] for id_ in queries]) for which in (0, 1))
    exact = await _exact(events, new, kind, queries, by_new)
    found_new = await new.search(kind, by_new, NEAREST + 1)
    found_old = await old.search(kind, by_old, NEAREST + 1)
    recall, agreement = list[float](), list[float]()
    for row, id_ in enumerate(queries):
        mine, theirs = (_others(found.ids[row], id_) for found in (found_new, found_old))
        bar = exact[row][exact[row] > -np.inf]
        if not len(bar):
            continue  # it is the only one
        near = found_new.scores[row][(found_new.ids[row] != id_) & (found_new.ids[row] > 0)][:NEAREST]
        recall.append(float((near >= bar[-1] - SAME).sum()) / len(bar))
        agreement.append(len(set(mine) & set(theirs)) / max(1, len(theirs)))
    return Share(there, here, parity, *(float(np.mean(each)) if each else 1.0 for each in (recall, agreement)))


async def _exact(events: EventStore, store: VectorStore, kind: str, queries: Sequence[int], by: Vectors) -> Vectors:
    """``(q, 10)``: scores of the nearest rows of each query other than itself, best first, by comparing all."""
    best = np.full((len(queries), NEAREST), -np.inf, np.float32)
    async for ids in _ids(events, kind):
        held = await store.fetch(kind, ids)
        if held:
            scores = by @ np.array(list(held.values())).T
            scores[np.array(queries)[:, None] == np.fromiter(held, np.int64)[None]] = -np.inf
            best = -np.sort(-np.concatenate([best, scores], axis=1), axis=1)[:, :NEAREST]
    return best


async def _ids(events: EventStore, kind: str) -> AsyncIterator[Ints]:
    """Every id that a row of this kind can have, a page at a time."""
    last = 0
    while True:
        rows = await events.query(
            f"SELECT DISTINCT pin FROM pin_vectors WHERE pin > {{last:Int64}} ORDER BY pin LIMIT {PAGE}", {"last": last}
        )
        if not rows:
            return
        pins: list[int] = rows["pin"].tolist()
        last = pins[-1]
        if kind == "pins":
            yield np.array(pins, np.int64)
        else:
            places = range(MOST_OBJECTS + MOST_SIDE**2)
            yield np.array([combined_id("object", pin, place) for pin in pins for place in places], np.int64)


def _others(ids: Ints, itself: int) -> list[int]:
    return [id_ for id_ in ids.tolist() if id_ not in (0, itself)][:NEAREST]
