"""Pin2Vec: a vector for every pin that is acted on often enough, so that pins of the same sessions lie close.

After Pinterest's Pin2Vec (Liu et al., "Related Pins at Pinterest", WWW 2017): what a pinner saves and clicks in one
sitting is a sentence, pins are its words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.batch import Engagement
from operators.events import Kind
from operators.id_index import IdIndex, Ints, grown
from operators.pin2vec.learning import LEARNED, SLOTS, TOTAL, learn
from operators.pin2vec.nearest import nearest
from operators.pin2vec.waiting import Actions, Waiting
from operators.small_sets import contains

#: An action waits so long (ms, by the broker's clock) for others that were logged before it.
LAG_MS = 15_000
#: Memory is looked after once in so many actions: at the same ones whatever batches they come in.
EVERY = 1_024
#: Beyond so many that wait, the first are passed over: a worker that is so far behind has other things to do.
MOST_WAITING = 500_000
#: What is kept of pins that have no vector yet, for each that may have one.
_CANDIDATES = 3
_IS_ACTION = np.isin(np.arange(256), (Kind.CLOSEUP, Kind.OUTBOUND_CLICK, Kind.SAVE))
_EVER = 2**62


@dataclass(frozen=True, slots=True)
class Learning:
    """How is learned; window, rate, negatives and prior were chosen on training pairs (``docs/related.md``)."""

    dimensions: int = 64
    #: Earlier actions of a session that an action is learned with.
    window: int = 10
    negatives: int = 5
    rate: float = 0.05
    #: Actions that a pin must have had for a vector.
    least: int = 2
    #: Share of all actions above which some of a pin's are passed over, word2vec's ``t``.
    common: float = 1e-3
    #: Negatives are drawn by ``count ** power``.
    power: float = 0.75
    #: A pinner's session ends after so long without an action, in milliseconds of event time.
    gap: int = 30 * 60_000
    max_pins: int = 100_000
    max_pinners: int = 100_000
    #: Entries of the table that negatives are drawn from.
    table: int = 1 << 20
    #: What an e-fold of a pin's actions adds to its cosine.
    prior: float = 0.1


class Near(NamedTuple):
    """Pins and scores ``(n,)``, best first; equal scores by id."""

    pins: Ints
    scores: NDArray[np.float32]


class Pin2Vec:
    """Vectors of pins, learned action by action in the order of the log.

    **Guaranteed**: the state is a function of the sequence of actions by (logged, event id) alone, bit for bit on one
    machine, whatever batches they come in, as long as none comes more than :data:`LAG_MS` after it was logged; one that
    does is learned when it comes. Deleted pins and erased pinners leave at once; what they taught other vectors fades.
    About 600 bytes for a pin with a vector, 40 without, 64 a pinner; the least acted on leave, a tenth at a time.
    """

    def __init__(self, how: Learning | None = None, then: Callable[[Actions], None] | None = None) -> None:
        """``then`` is called with the same actions, in the same order: who else learns from them."""
        self.how, self._then = how or Learning(), then
        self._waiting = Waiting()
        self._clear()

    def _clear(self) -> None:
        self._pins, self._pinners = IdIndex(), IdIndex()
        self._counts, self._slots = np.zeros(0, np.int64), np.full(0, -1, np.int32)
        self._last = np.zeros(0, np.int64)
        self._rings = np.zeros((0, self.how.window + 1), np.int32)
        self._inner, self._outer = (np.zeros((0, self.how.dimensions), np.float32) for _ in range(2))
        self._table, self._mass = np.zeros(self.how.table, np.int32), np.zeros(1)
        self._state = np.zeros(4, np.int64)

    def __len__(self) -> int:
        """Pins that have a vector."""
        return int(np.count_nonzero(self._slots[: len(self._pins)] >= 0))

    @property
    def waiting(self) -> int:
        """Actions that are not learned yet."""
        return len(self._waiting)

    @property
    def learned(self) -> int:
        """Actions learned from so far."""
        return int(self._state[LEARNED])

    @property
    def nbytes(self) -> int:
        return self.nbytes_of_pins + self.nbytes_of_pinners + self._table.nbytes + self._waiting.nbytes

    @property
    def nbytes_of_pins(self) -> int:
        arrays = (self._counts, self._slots, self._inner, self._outer)
        return sum(each.nbytes for each in (*arrays, self._pins))

    @property
    def nbytes_of_pinners(self) -> int:
        return self._last.nbytes + self._rings.nbytes + self._pinners.nbytes

    def update(self, engagement: Engagement, ignored: NDArray[np.bool_] | None = None) -> None:
        """Let closeups, outbound clicks and saves wait to be learned; rows of erased pinners (0) are left out."""
        counts = _IS_ACTION[engagement.kind] & (engagement.pinner != 0) & (engagement.pin != 0)
        if ignored is not None:
            counts &= ~ignored
        if counts.any():
            columns = (engagement.logged, engagement.event_id, engagement.pinner, engagement.pin, engagement.time)
            self.add(Actions(*(column[counts] for column in columns)))

    def add(self, actions: Actions) -> None:
        """The same for columns that are actions already. Without a broker's time the event's own is taken."""
        logged = np.where(actions.logged > 0, actions.logged, actions.time)
        self._waiting.put(actions._replace(logged=logged))
        # By a quarter at a time, so that it is rare.
        if len(self._waiting) > MOST_WAITING * 5 // 4:
            self._waiting.keep_latest(MOST_WAITING)

    def learn(self, until: int, most: int = _EVER) -> int:
        """Learn from at most ``most`` actions that were logged up to ``until`` (ms); returns how many wait no more.

        Call it with ``now - LAG_MS``, and often: about ten microseconds an action.
        """
        done = 0
        while done < most:
            room = EVERY - int(self._state[LEARNED]) % EVERY
            before = len(self._waiting)
            some = self._waiting.take(until, min(room, most - done))
            if len(self._waiting) == before:
                break
            self._learn(some)
            if self._then is not None:
                self._then(some)
            done += before - len(self._waiting)
            if len(some.pin) and self._state[LEARNED] % EVERY == 0:
                self._look_after()
        return done

    def order(self, until: int) -> None:
        """Put what was logged up to ``until`` in order, ahead of learning: of a million actions that takes a while."""
        self._waiting.order(until)

    def nearest(self, pins: Ints, weights: NDArray[np.float64], k: int) -> Near:
        """The ``k`` pins nearest to several ``(q,)`` by weight: cosine with their mean, and the prior; none of them.

        One pass over all vectors: 64 floats for each pin that has one.
        """
        rows = self._pins.lookup(pins)
        slots = np.where(rows >= 0, self._slots[rows], -1) if len(self._pins) else np.full(len(rows), -1)
        known = slots >= 0
        if not known.any():
            return Near(np.zeros(0, np.int64), np.zeros(0, np.float32))
        vectors = self._inner[slots[known]]
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        wish = (np.asarray(weights, np.float64)[known][:, None] * vectors / lengths).sum(axis=0).astype(np.float32)
        found, scores = nearest(
            wish, rows[known], self._slots[: len(self._pins)], self._counts, self._inner, np.float32(self.how.prior)
        )
        if len(found) > k:
            best = np.argpartition(-scores, k - 1)[: max(k, 1)]
            best = np.flatnonzero(scores >= scores[best].min())
            found, scores = found[best], scores[best]
        ids = self._pins.ids[found]
        order = np.lexsort((ids, -scores))[:k]
        return Near(ids[order], scores[order])

    def vectors(self, pins: Ints) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """``(n, d)``, and which pins have one, ``(n,)``; rows of the others are 0."""
        rows = self._pins.lookup(pins)
        slots = np.where(rows >= 0, self._slots[rows], -1) if len(self._pins) else np.full(len(rows), -1)
        found = np.zeros((len(pins), self.how.dimensions), np.float32)
        found[slots >= 0] = self._inner[slots[slots >= 0]]
        return found, slots >= 0

    def drop(self, pins: Ints) -> None:
        """Forget deleted pins."""
        self._waiting.drop(pins)
        for pin in pins.tolist():
            row = self._pins.forget(pin)
            if row >= 0 and row < len(self._slots):
                if self._slots[row] >= 0:
                    self._inner[self._slots[row]] = self._outer[self._slots[row]] = 0.0
                self._counts[row], self._slots[row] = 0, -1

    def remembers(self, pinners: Ints) -> NDArray[np.bool_]:
        """Which of these have a session here, or an action that waits, ``(n,)``."""
        waiting = self._waiting.all().pinner
        return (self._pinners.lookup(pinners) >= 0) | contains(pinners, waiting[contains(waiting, pinners)])

    def erase(self, pinner: int) -> None:
        """Forget a pinner's session, and leave out what waits of them."""
        self._waiting.erase(pinner)
        row = self._pinners.forget(pinner)
        if row >= 0:
            self._last[row], self._rings[row] = 0, 0

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Everything as arrays, for ``numpy.savez``; after :meth:`restore` it goes on the same, bit for bit."""
        return {name: view.copy() for name, view in self.views().items()}

    def views(self) -> dict[str, NDArray[Any]]:
        """What :meth:`snapshot` copies, to be read before anything more is learned; another thread may do so.

        Ids stand first: who is dropped or erased while the rest is read is among them, to be forgotten again.
        """
        sizes: dict[str, int] = dict.fromkeys(("counts", "slots"), len(self._pins))
        sizes |= dict.fromkeys(("last", "rings"), len(self._pinners))
        sizes |= dict.fromkeys(("inner", "outer"), int(self._state[SLOTS]))
        ids = {"pins": self._pins.ids, "pinners": self._pinners.ids}
        waiting = {f"waiting_{name}": column for name, column in self._waiting.all()._asdict().items()}
        return ids | waiting | {name: getattr(self, f"_{name}")[: sizes.get(name)] for name in _ARRAYS}

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Become what :meth:`snapshot` saw. Raises KeyError for an array that is missing."""
        for name in _ARRAYS:
            setattr(self, f"_{name}", np.array(arrays[name]))
        self._pins, self._pinners = (_index(arrays[name]) for name in ("pins", "pinners"))
        self._waiting = Waiting()
        self._waiting.put(Actions(*(np.array(arrays[f"waiting_{name}"]) for name in Actions._fields)))

    def _learn(self, some: Actions) -> None:
        pins, pinners = self._pins.intern(some.pin), self._pinners.intern(some.pinner)
        self._counts, self._slots = grown(self._counts, len(self._pins)), grown(self._slots, len(self._pins), -1)
        self._last, self._rings = grown(self._last, len(self._pinners)), grown(self._rings, len(self._pinners))
        how, done = self.how, 0
        settings = (how.window, how.negatives, np.float32(how.rate), how.least, how.common, how.power, how.gap)
        while done < len(pins):
            done = learn(
                (pinners, pins, some.time, some.event), self._pins.ids, done, settings, self._counts, self._slots,
                self._last, self._rings, self._table, self._mass, self._state, self._inner, self._outer,
            )  # fmt: skip
            if done < len(pins):
                more = int(self._state[SLOTS]) + EVERY
                self._inner, self._outer = grown(self._inner, more), grown(self._outer, more)

    def _look_after(self) -> None:
        """Let the least acted on leave where there are too many, and halve all counts, so that the old make room."""
        if self._state[SLOTS] > self.how.max_pins or len(self._pins) > (1 + _CANDIDATES) * self.how.max_pins:
            self._keep_pins()
        if len(self._pinners) > self.how.max_pinners:
            rows = np.argsort(-self._last[: len(self._pinners)], kind="stable")[: self.how.max_pinners * 9 // 10]
            rows = np.sort(rows[self._pinners.ids[rows] > 0])
            self._pinners = _index(self._pinners.ids[rows])
            self._last, self._rings = self._last[rows], self._rings[rows]

    def _keep_pins(self) -> None:
        n = len(self._pins)
        counts, slots = self._counts[:n] // 2, self._slots[:n]
        living = self._pins.ids > 0
        most = self.how.max_pins * 9 // 10
        kept: list[Ints] = []
        for rows in (np.flatnonzero(living & (slots >= 0)), np.flatnonzero(living & (slots < 0) & (counts > 0))):
            # Of equal counts the latest to appear stay.
            kept.append(rows[np.lexsort((-rows, -counts[rows]))][:most])
        rows = np.sort(np.concatenate(kept))
        renamed = np.full(n, -1, np.int32)
        renamed[rows] = np.arange(len(rows))
        with_vector = slots[rows] >= 0
        old = slots[rows][with_vector]
        self._inner, self._outer = self._inner[old], self._outer[old]
        self._slots = np.full(len(rows), -1, np.int32)
        self._slots[with_vector] = np.arange(len(old))
        self._pins, self._counts = _index(self._pins.ids[rows]), counts[rows]
        self._rings[:, 1:] = np.where(self._rings[:, 1:] >= 0, renamed[self._rings[:, 1:]], -1)
        self._table = np.where(self._table >= 0, renamed[self._table], -1).astype(np.int32)
        self._mass[0] = float((self._counts.astype(np.float64) ** self.how.power).sum())
        self._state[TOTAL], self._state[SLOTS] = self._counts.sum(), len(old)


_ARRAYS: tuple[str, ...] = ("counts", "slots", "last", "rings", "inner", "outer", "table", "mass", "state")


def _index(ids: Ints) -> IdIndex:
    """An index with these ids in order; one that was forgotten (negative) keeps its place."""
    index = IdIndex(max(1, len(ids)))
    index.intern(np.asarray(ids, np.int64))
    return index
