"""Recent actions: what each pinner lately saved, clicked, saw and hid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.batch import Engagement, Ints
from operators.events import Kind
from operators.id_index import IdIndex, grown
from operators.rings import Entries, Rings
from operators.small_sets import contains

#: The latest closeups, outbound clicks and saves of a pinner.
ACTIONS = 100
#: The latest impressions of a pinner.
SEEN = 1_000
HIDDEN = 1_000
#: Saves that :meth:`RecentActions.has_saved` remembers.
SAVED = 8_192
#: Beyond, the least recently active pinners are forgotten.
MAX_PINNERS = 100_000
#: As well beyond so many entries of all pinners, 14 bytes each.
MAX_ENTRIES = 8_000_000


class RecentActions:
    """Sequences by pinner, ordered by event time whatever order they come in.

    Memory is 14 bytes an entry (doubled while a sequence grows, and up to half as much again for segments that lie idle
    and room to grow) and about 200 bytes a pinner; ``max_pinners`` and ``max_entries`` bound it. A forgotten pinner who
    comes back starts anew.
    """

    def __init__(self, max_pinners: int = MAX_PINNERS, max_entries: int = MAX_ENTRIES) -> None:
        self._max_pinners, self._max_entries = max_pinners, max_entries
        self._pinners = IdIndex()
        self._last_active = np.zeros(0, np.int64)
        self._actions, self._seen = Rings(ACTIONS, brief=True), Rings(SEEN, brief=True)
        self._saved, self._hidden = Rings(SAVED, brief=True), Rings(HIDDEN, brief=True)

    def __len__(self) -> int:
        return len(self._pinners)

    @property
    def nbytes(self) -> int:
        rings = sum(rings.nbytes for rings in self._rings)
        return self._pinners.nbytes + self._last_active.nbytes + rings

    @property
    def _rings(self) -> tuple[Rings, ...]:
        return self._actions, self._seen, self._saved, self._hidden

    def update(self, engagement: Engagement) -> None:
        """Fold events in; rows whose pinner is 0 (erased) are left out."""
        self.add(engagement.pinner, engagement.time, engagement.pin, engagement.kind)

    def add(self, pinners: Ints, times: Ints, pins: Ints, kinds: NDArray[np.uint8]) -> None:
        """What pinners did with pins, and when (ms); all ``(n,)``."""
        if not pinners.all():
            person = pinners != 0
            pinners, times, pins, kinds = pinners[person], times[person], pins[person], kinds[person]
        row = self._pinners.intern(pinners)
        self._last_active = grown(self._last_active, len(self._pinners))
        np.maximum.at(self._last_active, row, times)
        seen, saved, hidden = (kinds == kind for kind in (Kind.IMPRESSION, Kind.SAVE, Kind.HIDE))
        for rings, mask in (
            (self._actions, ~(seen | hidden)),
            (self._seen, seen),
            (self._saved, saved),
            (self._hidden, hidden),
        ):
            rings.push(row[mask], times[mask], pins[mask], kinds[mask])
        # Cut by a tenth at a time, so that eviction is rare.
        if len(self._pinners) > self._max_pinners * 1.1:
            self._keep_latest(self._max_pinners)
        while sum(rings.held for rings in self._rings) > self._max_entries and len(self._pinners) > 1:
            self._keep_latest(len(self._pinners) * 9 // 10)

    def actions(self, pinner: int, k: int = ACTIONS) -> Entries:
        """The latest closeups, outbound clicks and saves, newest first."""
        return self._actions.of(self._pinners.find(pinner), k)

    def saved(self, pinner: int, k: int = ACTIONS) -> Entries:
        """The latest saves, newest first; a pin saved to two boards comes twice."""
        return self._saved.of(self._pinners.find(pinner), k)

    def seen(self, pinner: int) -> Ints:
        """Pins of the latest :data:`SEEN` impressions, newest first."""
        return self._seen.of(self._pinners.find(pinner)).pins

    def hidden(self, pinner: int) -> Ints:
        """Pins hidden, newest first."""
        return self._hidden.of(self._pinners.find(pinner)).pins

    def has_saved(self, pinner: int, pins: Ints) -> NDArray[np.bool_]:
        """Did the pinner save these pins, within their latest :data:`SAVED` saves? ``(n,) -> (n,)``."""
        return contains(pins, self.saved(pinner, SAVED).pins)

    def last_active(self, pinner: int) -> int:
        """Time (ms) of the pinner's latest event, 0 when unknown."""
        row = self._pinners.find(pinner)
        return int(self._last_active[row]) if row >= 0 else 0

    def erase(self, pinner: int) -> None:
        """Forget a pinner."""
        row = self._pinners.forget(pinner)
        if row >= 0:
            self._last_active[row] = 0
            for rings in self._rings:
                rings.clear(row)

    def _keep_latest(self, pinners: int) -> None:
        order = np.argsort(-self._last_active[: len(self._pinners)], kind="stable")
        self._keep(np.sort(order[:pinners]))

    def _keep(self, rows: Ints) -> None:
        ids = self._pinners.ids[rows]
        rows = rows[ids > 0]
        self._pinners = IdIndex(len(rows))
        self._pinners.intern(ids[ids > 0])
        self._last_active = self._last_active[rows]
        for rings in self._rings:
            rings.keep(rows)
