"""Adjacency: which pins stand on which boards, both ways, as it changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from operators.graph import edges
from operators.graph.compaction import Compaction
from operators.graph.edges import EDGES, EPOCHS, LARGEST, UNSURE
from operators.graph.origin import Origin
from operators.graph.segments import DEGREE, FROZEN, LEFT, MOST_KEYS, USED, Side
from operators.graph.snapshot import Columns, columns_of, kept, side_of
from operators.id_index import IdIndex, Ints

Keys = NDArray[np.uint8]
Arrays = tuple[NDArray[np.generic], ...]
#: Beyond so many saves (edges that are not a pin's home), those that came first are forgotten.
MOST_SAVED = 5_000_000
#: Saves are forgotten an epoch at a time, of which the limit has so many.
_EPOCHS_HELD = 40
#: Entries that moved runs have left behind, for each that lives: above the first an arena should be compacted, above
#: the second it is at once. Runs that shrank count where they are this many times as large.
_LOOSE, _LOOSEST, _SHRUNK = 0.3, 1.0, 4.0


class Adjacency:
    """Edges between boards and pins: 9 bytes an edge when compacted, and some 50 for every pin and board.

    Neighbours of a node stand in order of arrival (within their key), and all answers follow from that order alone:
    neither compaction nor :meth:`restored` changes them. For one thread, but for what :meth:`compaction` says.
    """

    def __init__(self, most_saved: int = MOST_SAVED) -> None:
        self._most_saved = most_saved
        self._pins, self._boards = IdIndex(), IdIndex()
        self._by_pin, self._by_board = Side(marked=True), Side(marked=False)
        self._counts = np.zeros(EPOCHS + 3, np.int64)
        self._epoch = 0

    def __len__(self) -> int:
        """Living edges."""
        return int(self._counts[EDGES])

    @property
    def nbytes(self) -> int:
        """Bytes held, room for more included."""
        return sum(each.nbytes for each in (self._pins, self._boards, self._by_pin, self._by_board))

    @property
    def largest(self) -> int:
        """Boards of the pin that has most."""
        if self._counts[UNSURE]:
            self._counts[LARGEST], self._counts[UNSURE] = self._by_pin.table[:, DEGREE].max(initial=0), 0
        return int(self._counts[LARGEST])

    def add(self, pins: Ints, boards: Ints, origin: Origin = Origin.SAVED) -> None:
        """Put pins on boards, each edge once; both ``(n,)``. Rows with board 0 are ignored."""
        pins, boards = pins[boards != 0], boards[boards != 0]
        epoch = max(1, self._most_saved // _EPOCHS_HELD)
        for first in range(0, len(pins), epoch):
            part = slice(first, first + epoch)
            pin, board = self._pins.intern(pins[part]), self._boards.intern(boards[part])
            self._rows()
            origins, number = np.full(len(pin), origin, np.uint8), self._epoch
            self._until(
                len(pin),
                lambda done, p, b, pin=pin, board=board, why=origins, at=number: edges.add(
                    pin, board, why, at, done, p, b, self._counts
                ),
            )
            if self._counts[self._epoch] >= epoch:
                self._turn()

    def drop(self, pins: Ints, boards: Ints, origin: Origin) -> None:
        """Take away one reason for pins to stand on boards; both ``(n,)``. What is not there is passed over."""
        pin, board = self._pins.lookup(pins), self._boards.lookup(boards)
        known = (pin >= 0) & (board >= 0)
        pin, board, why = pin[known], board[known], int(origin)
        self._until(len(pin), lambda done, p, b: edges.drop(pin, board, why, done, p, b, self._counts))

    def remove(self, pins: Ints) -> None:
        """Take deleted pins off all boards."""
        pin = self._pins.lookup(pins)
        pin = pin[pin >= 0]
        self._until(len(pin), lambda done, p, b: edges.clear(pin, done, p, b, self._counts))

    def tell_pins(self, pins: Ints, keys: Keys) -> None:
        """Say which key, 0 … 30, pins have: a language or a topic that a walk may prefer; both ``(n,)``. 0 if not told.

        Raises ValueError for another key.
        """
        pin, keys = self._pins.intern(pins), _keys(keys)
        self._rows()
        self._until(len(pin), lambda done, p, b: edges.tell(pin, keys, done, p, b))

    def tell_boards(self, boards: Ints, keys: Keys) -> None:
        """The same for boards."""
        board, keys = self._boards.intern(boards), _keys(keys)
        self._rows()
        self._until(len(board), lambda done, p, b: edges.tell(board, keys, done, b, p))

    @property
    def loose(self) -> bool:
        """Whether :meth:`compaction` is worth its while."""
        return self._looser_than(_LOOSE) and not self._by_pin.state[FROZEN]

    def compaction(self) -> tuple[Compaction, Compaction]:
        """Begin to compact. ``run()`` of each may be called in other threads while this one changes and asks; then
        each one's ``swap()`` in this one. Only one at a time."""
        return Compaction(self._by_pin), Compaction(self._by_board)

    def compact(self) -> None:
        """The same at once."""
        for side in self.compaction():
            side.run()
            side.swap()

    def snapshot(self) -> Columns:
        """Everything as arrays, for ``numpy.savez``; what :meth:`restored` gives answers the same, bit for bit."""
        pins, boards = kept(self._by_pin, self._pins), kept(self._by_board, self._boards)
        state = {
            "counts": self._counts.copy(),
            "epoch": np.array([self._epoch]),
            "most_saved": np.array([self._most_saved]),
        }
        ids = {"pins": self._pins.ids[pins[0]], "boards": self._boards.ids[boards[0]]}
        by_pin = columns_of("by_pin", self._by_pin, pins[0], boards[1])
        return state | ids | by_pin | columns_of("by_board", self._by_board, boards[0], pins[1])

    def restore(self, columns: Mapping[str, NDArray[np.generic]]) -> None:
        """Become what :meth:`snapshot` saw. Raises KeyError for a column that is missing."""
        self._by_pin = side_of("by_pin", columns, marked=True)
        self._by_board = side_of("by_board", columns, marked=False)
        self._pins, self._boards = IdIndex(len(columns["pins"])), IdIndex(len(columns["boards"]))
        self._pins.intern(columns["pins"].astype(np.int64))
        self._boards.intern(columns["boards"].astype(np.int64))
        self._counts = np.array(columns["counts"], np.int64)
        self._epoch, self._most_saved = int(columns["epoch"][0]), int(columns["most_saved"][0])

    def _turn(self) -> None:
        """Begin the next epoch, and forget the first ones: the latest ``most_saved`` saves stay."""
        following = (self._epoch + 1) % EPOCHS
        saved = self._counts[:EPOCHS]
        while True:
            in_turn = (following + np.arange(EPOCHS)) % EPOCHS
            first = int(in_turn[np.argmax(saved[in_turn] > 0)])
            if first != following and saved.sum() - saved[first] < self._most_saved:
                break
            if not saved[first]:
                break
            self._until(
                len(self._by_pin.table), lambda done, p, b, at=first: edges.forget(at, done, p, b, self._counts)
            )
        self._epoch = following
        alone = np.count_nonzero(self._by_pin.table[: len(self._pins), DEGREE] == 0)
        alone += np.count_nonzero(self._by_board.table[: len(self._boards), DEGREE] == 0)
        if 2 * alone > len(self._pins) + len(self._boards) and not self._by_pin.state[FROZEN]:
            self.restore(self.snapshot())

    def _until(self, n: int, work: Callable[[int, Arrays, Arrays], int]) -> None:
        done = 0 if n else n
        while done < n:
            done = work(done, self._by_pin.arrays, self._by_board.arrays)
            if done < n:
                self._room()

    def _room(self) -> None:
        if self._looser_than(_LOOSEST) and not self._by_pin.state[FROZEN]:
            self.compact()
        for side in (self._by_pin, self._by_board):
            side.room(len(side.arena) - int(side.state[USED]) + 1024)

    def _looser_than(self, share: float) -> bool:
        for side in (self._by_pin, self._by_board):
            used, left = int(side.state[USED]), int(side.state[LEFT])
            if left > share * (len(self) + 4096) or used - left > _SHRUNK * (len(self) + 4096):
                return True
        return False

    def _rows(self) -> None:
        self._by_pin.rows(len(self._pins))
        self._by_board.rows(len(self._boards))


def _keys(keys: Keys) -> Keys:
    if len(keys) and keys.max() >= MOST_KEYS:
        raise ValueError(f"a key is 0 … {MOST_KEYS - 1}, not {keys.max()}: give the rare ones one together")
    return np.ascontiguousarray(keys, np.uint8)
