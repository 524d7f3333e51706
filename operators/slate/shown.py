"""Shown: which sources proposed the pins of each pinner's latest slates, so that what they do is put down to those.

An event is put down to the newest slate of its pinner that shows its pin and went out before it. Whoever reads the
event writes that down with it (``Engagement.sources``), as it does whose the pin is, so it is settled once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Engagement, Ints
from operators.duplicates import RecentIds
from operators.events import Surface
from operators.id_index import IdIndex, grown
from operators.rings import Rings
from operators.slate.candidates import SOURCES

#: Places of the latest slates of a pinner that are remembered, 17 bytes each (and as much again while memory grows).
PLACES = 256
#: Beyond so many of all pinners together, those whose slates are oldest are forgotten.
MAX_PLACES = 2_000_000
#: Slates by which the same one again is known.
_SLATES = 1 << 16
#: Milliseconds after which what somebody does is no longer put down to a slate.
LASTS = 24 * 3_600_000
#: An entry's time is the second that its slate went out in, and below that the sources, one bit each.
_BITS = 31
if len(SOURCES) > _BITS:
    raise ImportError(f"{len(SOURCES)} sources: operators.slate.shown has bits for {_BITS}")


def mask_of(names: Sequence[str]) -> int:
    """One bit for each source, in the order of ``SOURCES``; names of no source have none."""
    return sum(1 << SOURCES.index(name) for name in set(names) if name in SOURCES)


@njit(cache=True)
def _attribute(rows, pins, logged, surface, table, times, shown, lasts, out):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row = rows[i]
        if row < 0 or row >= len(table) or surface[i] > 1:
            continue
        start, capacity, head, count = table[row, 0], table[row, 1], table[row, 2], table[row, 3]
        for back in range(count - 1, -1, -1):
            at = start + ((head + back) & (capacity - 1))
            if shown[at] != pins[i]:
                continue
            second = times[at] >> 31
            if second * 1000 > logged[i]:
                continue
            if logged[i] - second * 1000 <= lasts:
                out[i] = times[at] & 0x7FFFFFFF
            break


class Shown:
    """The latest places by pinner, in order of the time that their slates went out."""

    def __init__(self, max_places: int = MAX_PLACES) -> None:
        self._max_places = max_places
        self._pinners = IdIndex()
        self._newest = np.zeros(0, np.int64)
        self._rings = Rings(PLACES)
        self._known = RecentIds(_SLATES)

    def __len__(self) -> int:
        """Pinners."""
        return len(self._pinners)

    @property
    def nbytes(self) -> int:
        return self._pinners.nbytes + self._newest.nbytes + self._rings.nbytes

    def add(self, slates: Ints, pinners: Ints, emitted: Ints, pins: Ints, sources: Ints) -> None:
        """Places, ``(n,)`` each, slate after slate: of which slate, whose, when it went out (ms), the pin, and its
        sources (:func:`mask_of`). The same slate again changes nothing.
        """
        if not len(slates):
            return
        starts = np.flatnonzero(np.diff(slates, prepend=slates[0] - 1))
        new = self._known.admit(np.ascontiguousarray(slates[starts]))
        fresh = np.repeat(new, np.diff(starts, append=len(slates)))
        # Arrays of their own: numba would compile the rings again for what others hold.
        pinners, emitted, pins, sources = pinners[fresh], emitted[fresh], pins[fresh], sources[fresh]
        rows = self._pinners.intern(pinners)
        self._newest = grown(self._newest, len(self._pinners))
        self._rings.push(rows, (emitted // 1000 << _BITS) | sources, pins, np.zeros(len(pins), np.uint8))
        np.maximum.at(self._newest, rows, emitted)
        while self._rings.held > self._max_places and len(self._pinners) > 1:
            self._keep_newest(len(self._pinners) * 9 // 10)

    def attributed(self, engagement: Engagement) -> Engagement:
        """The same events with ``sources`` filled in where a slate showed the pin. Events of feeds only, and of
        surfaces that are not told."""
        out = np.zeros(len(engagement), np.int64)
        if len(self._pinners):
            _attribute(
                self._pinners.lookup(engagement.pinner), engagement.pin, engagement.logged, engagement.surface,
                *self._rings.columns, LASTS, out,
            )  # fmt: skip
        return replace(engagement, sources=out.astype(np.uint32))

    def erase(self, pinner: int) -> None:
        """Forget a pinner."""
        if (row := self._pinners.forget(pinner)) >= 0:
            self._newest[row] = 0
            self._rings.clear(row)

    def _keep_newest(self, pinners: int) -> None:
        order = np.argsort(-self._newest[: len(self._pinners)], kind="stable")
        rows = np.sort(order[:pinners])
        ids = self._pinners.ids[rows]
        rows = rows[ids > 0]
        self._pinners = IdIndex(len(rows))
        self._pinners.intern(ids[ids > 0])
        self._newest = self._newest[rows]
        self._rings.keep(rows)


_FEEDS: NDArray[np.uint8] = np.array([Surface.OTHER, Surface.HOME], np.uint8)
assert _FEEDS.max() == 1  # what `_attribute` relies on
