"""What the ranker expected of the pins that were looked at, beside what pinners did: is it still calibrated?

A sample of slates is remembered with its probabilities, a bounded number of them. An impression of a remembered place
adds what was expected of it, an action on it counts once. An event costs a look-up, whatever is remembered; both sums
go to ``/metrics``, and their ratio over some hours says how far each head is off (total calibration error).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from operators.batch import Engagement
from operators.events import Kind
from operators.positions import examination
from operators.slate.slate import Slate
from operators.slate.utility import ACTIONS

#: One slate in so many is remembered, by its id, so that every worker and every start remembers the same.
EVERY = 16
#: Slates that are remembered: 1.5 kB each.
MOST = 10_000
_COLUMN = {Kind.SAVE: 0, Kind.CLOSEUP: 1, Kind.OUTBOUND_CLICK: 2, Kind.HIDE: 3}
_SEEN = 1 << len(ACTIONS)


@dataclass(slots=True)
class _Remembered:
    """``told`` has a bit for each action that was counted, and one for the impression, of each place."""

    pins: dict[int, int]
    expected: NDArray[np.float64]
    told: bytearray


class Expectations:
    """One for each worker."""

    def __init__(self, every: int = EVERY, most: int = MOST) -> None:
        self._every, self._most = every, most
        self._slates: OrderedDict[int, _Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slates)

    def sent(self, slates: Sequence[Slate]) -> None:
        """Remember slates that went out; those without a ranker expect nothing."""
        for slate in slates:
            if slate.slate % self._every or any(item.probabilities is None for item in slate.items):
                continue
            expected = [msgspec.structs.astuple(item.probabilities) for item in slate.items if item.probabilities]
            pins = {item.pin: place for place, item in enumerate(slate.items)}
            table = np.array(expected, np.float64).reshape(-1, len(ACTIONS))
            self._slates[slate.slate] = _Remembered(pins, table, bytearray(len(slate.items)))
            while len(self._slates) > self._most:
                self._slates.popitem(last=False)

    def seen(self, engagement: Engagement) -> tuple[Mapping[str, float], Mapping[str, int]]:
        """Action → what was expected of the impressions among these events, and how often it happened.

        An action before its impression counts, too, as events of different topics come in any order.
        """
        expected = np.zeros(len(ACTIONS))
        happened = [0] * len(ACTIONS)
        # Nearly all events are of no remembered slate; only the others are looked at one by one.
        rows = np.flatnonzero((engagement.slate != 0) & (engagement.slate % self._every == 0)) if self._slates else ()
        if len(rows):
            looked_at = examination(engagement.surface[rows], engagement.position[rows])
            columns = (engagement.slate[rows], engagement.pin[rows], engagement.kind[rows], looked_at)
            for slate, pin, kind, chance in zip(*(each.tolist() for each in columns), strict=True):
                known = self._slates.get(slate)
                place = None if known is None else known.pins.get(pin)
                if known is None or place is None:
                    continue
                bit = _SEEN if kind == Kind.IMPRESSION else 1 << _COLUMN[Kind(kind)]
                if known.told[place] & bit:
                    continue
                known.told[place] |= bit
                if kind == Kind.IMPRESSION:
                    expected += chance * known.expected[place]
                else:
                    happened[_COLUMN[Kind(kind)]] += 1
        return dict(zip(ACTIONS, expected.tolist(), strict=True)), dict(zip(ACTIONS, happened, strict=True))
