"""Exploration: a few places for pins and creators that too few have seen, at probabilities that are known exactly.

The share of places is cut into slots, the places into as many blocks, and the pins worth exploring into as many
groups. In each block, with one probability, one place chosen evenly goes to one pin of the block's group; the slots
know nothing of each other. A pin's probability within its group is that of being the best, as far as is known (Thompson
sampling, with the probability worked out instead of drawn), mixed with an even one, so that none is vanishingly small.
The others keep their order and move down. ``docs/slates.md`` has the formulas.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, comb, erfc

import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.chance import draws
from operators.slate.candidates import Floats

Doubles = NDArray[np.float64]
Rows = NDArray[np.intp]
#: The stream of the seed that exploration draws from.
_STREAM = 2
#: Points of the grid on which the best pin's rate is looked for, and how many standard deviations it reaches out.
_POINTS, _REACH = 64, 5.0


class Exploration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is explored, and what."""

    #: Share of a slate's places; 0 explores nothing.
    share: float = 0.06
    #: Places at the top that are never explored.
    protected: int = 2
    #: A pin with fewer examined impressions than this is worth exploring …
    impressions: float = 5.0
    #: … and so is one whose owner's pins have fewer together.
    owner_impressions: float = 20.0
    #: Candidates of a group: of those worth exploring, the best for the pinner.
    among: int = 20
    #: Examined impressions that the rate of all pins counts for in what is believed of one.
    prior: float = 5.0
    #: Part of the probability that is even over a group, so that no inverse propensity is huge.
    even: float = 0.1


@dataclass(frozen=True, slots=True)
class Newness:
    """What is known of candidates' exposure, ``(n,)`` float32 each."""

    exposure: Floats  # examined impressions of the pin
    owner_exposure: Floats  # examined impressions of all pins of its owner; NaN where the owner is unknown
    earned: Floats  # weighted actions of the pin, decayed as exposure is; at least 0

    def take(self, rows: Rows | slice) -> Newness:
        """Those at ``rows``."""
        return Newness(self.exposure[rows], self.owner_exposure[rows], self.earned[rows])


@dataclass(frozen=True, slots=True)
class Places:
    """Rows of a slate's pins, first place first; which were explored; the probability of each pin at its place.

    ``base`` are the rows that would stand there without exploration.
    """

    rows: Rows
    explored: NDArray[np.bool_]
    propensities: Doubles
    base: Rows

    @classmethod
    def unexplored(cls, base: Rows) -> Places:
        """All places as the order has them."""
        return cls(base, np.zeros(len(base), np.bool_), np.ones(len(base)), base)

    def of(self, rows: Rows) -> Places:
        """The same with each row replaced by what it is an index of."""
        return Places(rows[self.rows], self.explored, self.propensities, rows[self.base])


@dataclass(frozen=True, slots=True)
class Slots:
    """Where and what may be explored: slot ``j`` has the places ``edges[j]`` up to ``edges[j + 1]`` and a group."""

    edges: tuple[int, ...]
    #: Probability that a slot is used.
    used: float
    groups: list[Rows]
    #: Probability of each pin of a group, given that its slot is used.
    chances: list[Doubles]


def worth_exploring(newness: Newness, choices: Exploration) -> NDArray[np.bool_]:
    """Which candidates have been seen too little, or are of somebody whose pins have, ``(n,)``."""
    return (newness.exposure < choices.impressions) | (newness.owner_exposure < choices.owner_impressions)


def chances_of_best(newness: Newness, rate: float, choices: Exploration) -> Doubles:
    """``(n,)``, adding up to 1: how likely each pin has the best rate, given what was seen of it.

    The rate of actions has a Gamma posterior of shape ``prior·rate + earned`` and rate ``prior + exposure``; its root
    is close to normal, with the same spread whatever the mean is, and is what is integrated over.
    """
    return _chances(newness.exposure, newness.earned, choices.prior, max(rate, 1e-6), choices.even)


@njit(cache=True)
def _chances(exposure, earned, prior, rate, even):  # type: ignore[no-untyped-def]
    n = len(exposure)
    if n <= 1:
        return np.ones(n)
    mean, spread = np.empty(n), np.empty(n)
    for i in range(n):
        seen = prior + np.float64(exposure[i])
        mean[i], spread[i] = np.sqrt((prior * rate + np.float64(earned[i])) / seen), 0.5 / np.sqrt(seen)
    best = _best(mean, spread)
    total = best.sum()
    for i in range(n):
        best[i] = (1 - even) * (best[i] / total if total > 0 else 1 / n) + even / n
    return best


@njit(cache=True)
def _best(mean, spread):  # type: ignore[no-untyped-def]
    """``(n,)``: the integral of each density times the others' distributions, over a grid."""
    n = len(mean)
    low, high = (mean - _REACH * spread).min(), (mean + _REACH * spread).max()
    out, before, now, after = np.zeros(n), np.zeros(n), np.zeros(n), np.ones(n + 1)
    for point in range(_POINTS + 1):
        at = low + (high - low) * point / _POINTS
        for i in range(n):
            now[i] = 0.5 * erfc((mean[i] - at) / spread[i] * 0.7071067811865476)
        if point > 0:
            # Products of all others, from both ends.
            for i in range(n - 1, -1, -1):
                after[i] = after[i + 1] * 0.5 * (before[i] + now[i])
            ahead = 1.0
            for i in range(n):
                out[i] += (now[i] - before[i]) * ahead * after[i + 1]
                ahead *= 0.5 * (before[i] + now[i])
        before[:] = now
    return out


def slots_of(eligible: Rows, newness: Newness, size: int, rate: float, choices: Exploration) -> Slots | None:
    """The slots of a slate with ``size`` pins in order; None where nothing is to be explored.

    ``eligible`` are the rows worth exploring that are not in that order, best for the pinner first.
    """
    free = size - choices.protected
    wanted = choices.share * size
    if wanted <= 0 or free <= 0 or not len(eligible):
        return None
    count = min(ceil(wanted), free, len(eligible))
    groups = [eligible[slot::count][: choices.among] for slot in range(count)]
    edges = tuple(choices.protected + free * slot // count for slot in range(count + 1))
    chances = [chances_of_best(newness.take(group), rate, choices) for group in groups]
    return Slots(edges, min(1.0, wanted / count), groups, chances)


def explored(base: Rows, eligible: Rows, newness: Newness, *, rate: float, seed: int, choices: Exploration) -> Places:
    """A slate of ``len(base)`` places: ``base`` in its order, some places given to pins of ``eligible``.

    Args:
        base: the rows that would be shown without exploration.
        eligible: rows worth exploring, none of them in ``base``, best for the pinner first.
        newness: of all rows.
        rate: weighted actions for each examined impression, of all pins.
        seed: of the slate; the same seed gives the same slate.
    """
    slots = slots_of(eligible, newness, len(base), rate, choices)
    if slots is None:
        return Places.unexplored(base)
    random = draws(np.uint64(seed), _STREAM, 3 * len(slots.groups)).reshape(-1, 3).tolist()
    marks = np.zeros(len(base), np.bool_)
    taken: list[tuple[int, int, float]] = []
    for slot, (used, at, which) in enumerate(random):
        if used < slots.used:
            group, chances = slots.groups[slot], slots.chances[slot]
            first, end = slots.edges[slot], slots.edges[slot + 1]
            pick = min(int(np.searchsorted(np.cumsum(chances), which, side="right")), len(group) - 1)
            place = first + min(int(at * (end - first)), end - first - 1)
            taken.append((place, int(group[pick]), slots.used / (end - first) * float(chances[pick])))
            marks[place] = True
    before = np.cumsum(marks)
    places = np.arange(len(base))
    rows, propensities = base[places - before], _staying(slots.edges, slots.used, len(base))[places, before]
    for place, row, propensity in taken:
        rows[place], propensities[place] = row, propensity
    return Places(rows, marks, propensities, base)


@lru_cache(256)  # the same for nearly all slates
def _staying(edges: tuple[int, ...], used: float, size: int) -> Doubles:
    """``(size, slots + 1)``: :func:`_stays` of every place and number of explored places above it."""
    return np.array([[_stays(edges, used, place, before) for before in range(len(edges))] for place in range(size)])


def _stays(edges: tuple[int, ...], used: float, place: int, before: int) -> float:
    """The probability that ``place`` is not explored and exactly ``before`` places above it are."""
    count = len(edges) - 1
    slot = bisect_right(edges, place) - 1
    if slot < 0:
        return float(before == 0)
    if slot >= count:
        return _exactly(before, count, used)
    first, end = edges[slot], edges[slot + 1]
    above, length = place - first, end - first
    own = used * above / length
    neither = 1 - used * (above + 1) / length
    return _exactly(before, slot, used) * neither + _exactly(before - 1, slot, used) * own


def _exactly(hits: int, tries: int, chance: float) -> float:
    if not 0 <= hits <= tries:
        return 0.0
    return comb(tries, hits) * chance**hits * (1 - chance) ** (tries - hits)
