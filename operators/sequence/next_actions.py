"""Next actions: what a pinner does next, learned from every action as it comes. ``docs/sequence.md``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Ints
from operators.id_index import IdIndex, grown
from operators.sequence import kernels
from operators.sequence.kernels import Histories, Scratch, Weights
from operators.sequence.mixing import CONTEXTS, FIRST_SQUARES, SOURCES, first_weights
from operators.sequence.tables import CLASSES, WINDOW, empty, keep
from operators.small_sets import contains

#: Beyond, the items with the least popularity of late (half-life a day), and the pinners longest silent, are forgotten.
MAX_ITEMS, MAX_PINNERS = 25_000, 100_000
#: Followers of an item in each class of gaps.
FOLLOWERS = 64
#: Memory is looked after once in so many actions: at the same ones whatever batches they come in.
EVERY = 1_024
_DAY = 1
#: Tables that have a column for each item.
_OF_ITEMS = ("followers", "counts", "used", "totals", "popularity")

Rows = NDArray[np.int32]


class Next(NamedTuple):
    """Items, best first, and their scores; both ``(n,)``."""

    items: Ints
    scores: NDArray[np.float64]


class NextActions:
    """Tables of what follows what, the latest items of each pinner, and how the tables are mixed.

    Memory: 6 bytes a follower (8 with more than 58,000 items), seven classes of them (2.7 kB an item with 64), and 300
    bytes a pinner. An action costs as much whatever was learned before. What is learned is a function of the sequence
    of actions, bit for bit, whatever batches they come in; fold those of one pinner in as they happened.
    """

    def __init__(self, followers: int = FOLLOWERS, max_items: int = MAX_ITEMS, max_pinners: int = MAX_PINNERS) -> None:
        self._max_items, self._max_pinners = max_items, max_pinners
        self._items, self._pinners = IdIndex(), IdIndex()
        # Of all that there may be between two looks after memory.
        self._room = max_items * 11 // 10 + EVERY + 1
        self._tables = empty(self._room, followers)
        self._histories = Histories(np.zeros((0, WINDOW), np.int32), np.zeros(0, np.int64), np.zeros(0))
        self._weights = Weights(first_weights(), np.full((CONTEXTS, SOURCES), FIRST_SQUARES))
        self._scratch = _scratch(self._room)
        self._number = 0

    def __len__(self) -> int:
        """Actions folded in."""
        return self._number

    @property
    def nbytes(self) -> int:
        of_items = (*self._tables[: len(_OF_ITEMS)], *self._scratch[:2])
        used = sum(part.nbytes for part in of_items) * len(self._items) // self._room
        return used + sum(part.nbytes for part in self._histories) + self._items.nbytes + self._pinners.nbytes

    def update(self, pinners: Ints, times: Ints, items: Ints) -> None:
        """Fold actions in, in order; all ``(n,)``, times in ms. Rows whose pinner is 0 (erased) are left out."""
        if not pinners.all():
            person = pinners != 0
            pinners, times, items = pinners[person], times[person], items[person]
        done = 0
        while done < len(pinners):
            part = slice(done, done + EVERY - self._number % EVERY)
            self._learn(pinners[part], times[part], items[part])
            done = part.stop
            if self._number % EVERY == 0:
                self._look_after()

    def next(self, history: Ints, pause: float, k: int) -> Next:
        """The ``k`` items that most likely come next, without those of the history.

        ``history`` ``(n,)`` is what was done, newest first, whether that was learned yet or not; the last of it
        ``pause`` seconds ago.
        """
        known = self._items.lookup(history[:WINDOW])
        rows, scores = self._scored(known, len(history), pause, np.zeros(0, np.int32), everything=False)
        stays = ~contains(rows.astype(np.int64), known.astype(np.int64))
        rows, scores = rows[stays], scores[stays]
        items = self._items.ids[rows]
        order = np.lexsort((items, -scores))[:k]
        return Next(items[order], scores[order])

    def scores(self, pinner: int, now: int, items: Ints) -> NDArray[np.float64]:
        """Scores of known ``items`` ``(n,)`` for a pinner at ``now`` (ms); −inf for those never seen."""
        person = int(self._pinners.intern(np.array([pinner]))[0])
        self._histories = Histories(*(grown(each, len(self._pinners)) for each in self._histories))
        rows = self._items.lookup(items)
        known = rows >= 0
        out = np.full(len(items), -np.inf)
        count = int(self._histories.counts[person])
        pause = now / 1000 - self._histories.seconds[person] if count else 0.0
        history = kernels.latest(self._histories, person)
        out[known] = self._scored(history, count, pause, rows[known], everything=True)[1]
        return out

    @property
    def how(self) -> tuple[int, int, int]:
        """Followers, and most items and pinners: what was learned with others is not its own."""
        return self._tables.followers.shape[2], self._max_items, self._max_pinners

    def remembers(self, pinners: Ints) -> NDArray[np.bool_]:
        """Which of these have a history here, ``(n,)``."""
        return self._pinners.lookup(pinners) >= 0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for ``numpy.savez``; after :meth:`restore` it goes on the same, bit for bit."""
        return {name: view.copy() for name, view in self.views().items()}

    def views(self) -> dict[str, NDArray[Any]]:
        """What :meth:`snapshot` copies, to be read before anything more is learned; another thread may do so.

        Ids stand first: who is erased while the rest is read is among them, to be forgotten again.
        """
        items, pinners = len(self._items), len(self._pinners)
        ids = {"items": self._items.ids, "pinners": self._pinners.ids, "number": np.array([self._number])}
        tables = self._tables._asdict()
        wide = {name: tables[name][:, :items] for name in _OF_ITEMS}
        histories = {f"history_{name}": each[:pinners] for name, each in self._histories._asdict().items()}
        weights = {f"weights_{name}": each for name, each in self._weights._asdict().items()}
        return ids | tables | wide | histories | weights

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what :meth:`snapshot` saw. Raises KeyError for an array that is missing."""
        self._items, self._pinners = IdIndex(), IdIndex()
        for index, name in ((self._items, "items"), (self._pinners, "pinners")):
            index.intern(np.array(arrays[name], np.int64))
        for name, table in self._tables._asdict().items():
            if name in _OF_ITEMS:
                table[:, : len(self._items)] = arrays[name]
                table[:, len(self._items) :] = 0
            else:
                table[:] = arrays[name]
        self._histories = Histories(*(np.array(arrays[f"history_{name}"]) for name in Histories._fields))
        self._weights = Weights(*(np.array(arrays[f"weights_{name}"]) for name in Weights._fields))
        self._number = int(arrays["number"][0])

    def erase(self, pinner: int) -> None:
        """Forget a pinner; what their actions said of items stays, as sums of which they cannot be told apart."""
        row = self._pinners.forget(pinner)
        if row >= 0:
            self._histories.counts[row] = 0
            self._histories.items[row] = 0

    def _learn(self, pinners: Ints, times: Ints, items: Ints) -> None:
        before = len(self._items)
        rows, people = self._items.intern(items), self._pinners.intern(pinners)
        self._histories = Histories(*(grown(each, len(self._pinners)) for each in self._histories))
        kernels.learn(
            self._tables,
            self._histories,
            self._weights,
            self._scratch,
            before,
            self._number,
            people,
            rows,
            times / 1000,
        )
        self._number += len(rows)

    def _look_after(self) -> None:
        # Cut by a tenth at a time, so that forgetting is rare.
        if len(self._items) > self._max_items * 1.1:
            self._keep_items()
        if len(self._pinners) > self._max_pinners * 1.1:
            self._keep_pinners(np.argsort(-self._histories.seconds[: len(self._pinners)], kind="stable"))

    def _scored(
        self, history: Rows, actions: int, pause: float, rows: Rows, *, everything: bool
    ) -> tuple[Rows, NDArray[np.float64]]:
        return kernels.score(
            self._tables, self._weights, self._scratch, history, actions, float(pause), rows, everything
        )

    def _keep_items(self) -> None:
        size = len(self._items)
        order = np.argsort(-self._tables.popularity[_DAY, :size], kind="stable")
        rows = np.sort(order[: self._max_items])
        place = np.full(size, -1, np.int64)
        place[rows] = np.arange(len(rows))
        ids = self._items.ids[rows]
        self._items = IdIndex(len(rows))
        self._items.intern(ids)
        keep(self._tables, rows)
        kernels.rename(self._histories, len(self._pinners), place)

    def _keep_pinners(self, order: Ints) -> None:
        rows = np.sort(order[: self._max_pinners])
        ids = self._pinners.ids[rows]
        rows, ids = rows[ids > 0], ids[ids > 0]
        self._pinners = IdIndex(len(rows))
        self._pinners.intern(ids)
        kept = self._histories
        self._histories = Histories(kept.items[rows], kept.counts[rows], kept.seconds[rows])


def _scratch(items: int) -> Scratch:
    return Scratch(np.zeros((CLASSES, items)), np.zeros(items, np.int32), np.zeros(CLASSES, np.int64))
