"""Memboost: clicks over expected clicks of a result among the related pins of another.

Liu et al., "Related Pins at Pinterest: The Evolution of a Real-World Recommender System", WWW 2017; clicks over
expected clicks are of Zhang, Jones, "Comparing click logs and editorial labels for training query rewriting", 2007:
``Eclicks(q, r) = Σ impressions · c[place]``, ``boost = log((clicks + a) / (Eclicks + a))``.
"""

from __future__ import annotations

from typing import NamedTuple, overload

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Engagement
from operators.events import Kind, Surface
from operators.id_index import IdIndex, Ints, first_slot, grown
from operators.identity import MAX_ID
from operators.trending import WEIGHTS

#: Places: unknown, 0, 1, 2–3, 4–7, 8–15, 16–31, 32 and below. The SQL of ``related_actions`` says the same.
PLACES = 8
#: What an action is worth, in tenths of a save: whole numbers, so that sums do not depend on the order of adding up.
WORTH: Ints = np.rint(10 * WEIGHTS).astype(np.int64)
#: ``a``: so many expected saves of doubt.
DOUBT = 1.0
#: Beyond, the pairs that were shown least are forgotten, a tenth at a time.
MOST_PAIRS = 300_000
#: Names slates of related pins; never change it, as events carry it.
_NAME = 0x5EED_B0A7_D15C_0DE5


class Boosts(NamedTuple):
    """Results and their boosts, ``(n,)`` each, largest first; equal ones by id."""

    pins: Ints
    boosts: NDArray[np.float64]


@overload
def related_slate(pins: Ints) -> Ints: ...
@overload
def related_slate(pins: int) -> int: ...
def related_slate(pins: Ints | int) -> Ints | int:
    """The id of the slate that the related pins of a pin are: events carry it. It is its own inverse."""
    return pins ^ (_NAME & MAX_ID)


def places(positions: NDArray[np.int16]) -> Ints:
    """Which of the :data:`PLACES` a position is, ``(n,)``; -1 is unknown."""
    known = np.maximum(positions.astype(np.int64), 0)
    bits = np.zeros(len(known), np.int64)
    bits[known > 0] = np.floor(np.log2(known[known > 0])).astype(np.int64) + 1
    return np.where(positions < 0, 0, np.minimum(1 + bits, PLACES - 1))


@njit(cache=True)
def _key(query, pin):  # type: ignore[no-untyped-def]
    """A number for a pair; that two pairs have one is not to be expected."""
    mask = np.int64(0x7FFFFFFFFFFFFFFF)
    return (first_slot(query, mask) * np.int64(3) ^ first_slot(pin ^ np.int64(0x5851F42D4C957F2D), mask)) & mask


@njit(cache=True)
def _keys(queries, pins, out):  # type: ignore[no-untyped-def]
    for i in range(len(pins)):
        out[i] = max(_key(queries[i], pins[i]), np.int64(1))


@njit(cache=True)
def _link(rows, queries, pins, first, heads, following, pair_query, pair_pin):  # type: ignore[no-untyped-def]
    """Hang the pairs that are new (rows from ``first`` on) in the lists of their queries."""
    for i in range(len(rows)):
        row = rows[i]
        if row >= first and pair_pin[row] == 0:
            pair_query[row], pair_pin[row] = queries[i], pins[i]
            following[row] = heads[queries[i]]
            heads[queries[i]] = row


class Memboost:
    """Impressions by place, and weighted actions, of pairs (query pin, result): sums, in any order.

    Counted are impressions, closeups, outbound clicks and saves on the surface ``related`` whose slate is that of a
    pin's related pins; some 120 bytes a pair. ``c[place]`` is what an impression there earns, over all pairs.
    """

    def __init__(self, most_pairs: int = MOST_PAIRS, doubt: float = DOUBT) -> None:
        self._most, self._doubt = most_pairs, doubt
        self._shown, self._earned = np.zeros(PLACES, np.int64), np.zeros(PLACES, np.int64)
        self._clear()

    def _clear(self) -> None:
        self._pairs, self._queries = IdIndex(), IdIndex()
        self._impressions = np.zeros((0, PLACES), np.int32)
        self._actions = np.zeros(0, np.int64)
        self._heads, self._following = np.full(0, -1, np.int32), np.full(0, -1, np.int32)
        self._pair_query, self._pair_pin = np.zeros(0, np.int32), np.zeros(0, np.int64)

    def __len__(self) -> int:
        """Pairs."""
        return len(self._pairs)

    @property
    def nbytes(self) -> int:
        arrays = (self._impressions, self._actions, self._heads, self._following, self._pair_query, self._pair_pin)
        return sum(each.nbytes for each in (*arrays, self._pairs, self._queries))

    @property
    def rates(self) -> NDArray[np.float64]:
        """``c``: what an impression at each place earns, ``(PLACES,)``; the mean of all where nothing was shown."""
        mean = self._earned.sum() / max(int(self._shown.sum()), 1)
        return np.where(self._shown > 0, self._earned / np.maximum(self._shown, 1), mean) / 10

    def update(self, engagement: Engagement, ignored: NDArray[np.bool_] | None = None) -> None:
        """Fold events in. Rows that are ``ignored`` ``(n,)`` count for the rates of places, but not for their pair."""
        kind = engagement.kind
        counts = (engagement.surface == Surface.RELATED) & (engagement.slate != 0) & (engagement.pin != 0)
        counts &= (kind == Kind.IMPRESSION) | (WORTH[kind] > 0)
        if not counts.any():
            return
        kind, place = engagement.kind, places(engagement.position)
        impressions, worth = (kind == Kind.IMPRESSION).astype(np.int64), WORTH[kind]
        np.add.at(self._shown, place[counts], impressions[counts])
        np.add.at(self._earned, place[counts], worth[counts])
        if ignored is not None:
            counts &= ~ignored
        queries = related_slate(engagement.slate)
        columns = (queries, engagement.pin, place, impressions, worth)
        self.load(*(column[counts] for column in columns))

    def load_rates(self, shown: Ints, earned: Ints) -> None:
        """Add what was shown and earned at each place, ``(PLACES,)``, of pairs that are in memory or not."""
        self._shown += shown
        self._earned += earned

    def load(self, queries: Ints, pins: Ints, place: Ints, impressions: Ints, actions: Ints) -> None:
        """Add sums of pairs: impressions at a place, and what actions there earned (:data:`WORTH`); all ``(n,)``."""
        rows = self._rows(queries, pins)
        np.add.at(self._impressions, (rows, place), impressions)
        np.add.at(self._actions, rows, actions)
        if len(self._pairs) > self._most * 1.1:
            self._keep(np.argsort(-self._impressions[: len(self)].sum(axis=1), kind="stable")[: self._most])

    def boosts(self, query: int, pins: Ints) -> NDArray[np.float64]:
        """``log((clicks + a) / (Eclicks + a))`` of results ``(n,)``; 0 for what was not shown there."""
        keys = np.empty(len(pins), np.int64)
        _keys(np.full(len(pins), query, np.int64), np.ascontiguousarray(pins, np.int64), keys)
        rows = self._pairs.lookup(keys)
        found = np.zeros(len(pins))
        known = rows >= 0
        found[known] = self._boost(rows[known].astype(np.int64))
        return found

    def best(self, query: int, k: int) -> Boosts:
        """The ``k`` results of a query with the largest boosts above 0."""
        number, rows = self._queries.find(query), list[int]()
        row = int(self._heads[number]) if number >= 0 else -1
        while row >= 0:
            rows.append(row)
            row = int(self._following[row])
        at = np.array(rows, np.int64)
        pins, boosts = self._pair_pin[at], self._boost(at)
        order = np.lexsort((pins, -boosts))[:k]
        order = order[boosts[order] > 0]
        return Boosts(pins[order], boosts[order])

    def drop(self, pins: Ints) -> None:
        """Forget deleted pins, as queries and as results."""
        if not len(pins) or not len(self):
            return
        n = len(self)
        queries = self._queries.ids[self._pair_query[:n]]
        gone = np.isin(self._pair_pin[:n], pins) | np.isin(queries, pins)
        if gone.any():
            self._keep(np.flatnonzero(~gone))

    def _boost(self, rows: Ints) -> NDArray[np.float64]:
        expected = self._impressions[rows] @ self.rates
        return np.log((self._actions[rows] / 10 + self._doubt) / (expected + self._doubt))

    def _rows(self, queries: Ints, pins: Ints) -> NDArray[np.int32]:
        queries, pins = np.ascontiguousarray(queries, np.int64), np.ascontiguousarray(pins, np.int64)
        keys = np.empty(len(pins), np.int64)
        _keys(queries, pins, keys)
        before = len(self._pairs)
        rows, numbers = self._pairs.intern(keys), self._queries.intern(queries)
        self._impressions, self._actions = grown(self._impressions, len(self)), grown(self._actions, len(self))
        self._following = grown(self._following, len(self), -1)
        self._pair_query, self._pair_pin = grown(self._pair_query, len(self)), grown(self._pair_pin, len(self))
        self._heads = grown(self._heads, len(self._queries), -1)
        _link(rows, numbers, pins, before, self._heads, self._following, self._pair_query, self._pair_pin)
        return rows

    def _keep(self, rows: Ints) -> None:
        rows = np.sort(rows)
        queries, pins = self._queries.ids[self._pair_query[rows]], self._pair_pin[rows]
        impressions, actions = self._impressions[rows], self._actions[rows]
        self._clear()
        at = self._rows(queries, pins)
        self._impressions[at], self._actions[at] = impressions, actions
