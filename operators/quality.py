"""Quality of pins, pinners and domains: how far engagement exceeds what its exposure explains.

Formulas and a worked example: ``docs/quality.md``. The same from raw rows: ``streams/quality_sql.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from operators.batch import Engagement, Ints
from operators.decay import QUALITY_HALF_LIFE_MS, Floats, as_of, weight
from operators.events import Kind
from operators.id_index import IdIndex, grown
from operators.positions import examination
from operators.safety import Safety, penalty

#: Actions in stored order, and what a lift of each counts.
ACTIONS = ("closeups", "outbound_clicks", "saves", "hides")
ACTION_WEIGHTS = np.array([0.2, 0.5, 1.0, -2.0])
#: κ of a lift: pseudo-actions on both sides of the ratio.
LIFT_PRIOR = 1.0
#: κ of a mean over pins: pseudo-exposure at the mean of all pins, for domains and for pinners.
MEAN_PRIOR = 20.0
#: α, β, γ of pinner quality: what they post, what it received, what they give.
POSTS, RECEIVED, GIVEN = 1.0, 0.5, 0.1

#: Up to so many pins, answers about pinners and domains are exact at every moment.
EXACT_PINS = 5_000
#: Beyond, they may be as old as this for every `EXACT_PINS` pins, or a quarter of the pins in events.
STALE_MS = 300_000


class PinQuality(NamedTuple):
    """Arrays ``(n,)`` float64, aligned with the pins asked for; a pin nobody saw has exposure 0, quality 0 or less."""

    all: Floats
    followers: Floats
    wider: Floats
    exposure: Floats  # examined impressions as of now
    earned: Floats  # weighted actions, decayed as exposure is; at least 0


class PinnerQuality(NamedTuple):
    """Arrays ``(n,)`` float64: the whole, the three parts it is made of, and examined impressions of all their pins."""

    quality: Floats
    posts: Floats
    received: Floats
    given: Floats
    exposure: Floats


class Leaders(NamedTuple):
    """The best pins, best first."""

    pins: Ints
    quality: Floats


class _Summary(NamedTuple):
    """One pass over all pins, as of ``now`` and after ``rows`` events and scores."""

    now: int
    rows: int
    pins: Floats  # quality of each
    mean: float  # exposure-weighted mean of quality, μ
    owners: Floats  # (owners, 3): ΣX, ΣX·q, Σ positive actions
    domains: Floats  # (domains, 3)


@njit(cache=True)
def _fold(pin, audience, kind, amount, sums):  # type: ignore[no-untyped-def]
    for i in range(len(pin)):
        sums[pin[i], audience[i], kind[i] - 1] += amount[i]


@njit(cache=True)
def _attribute(pin, time, event_id, owner, domain, newest):  # type: ignore[no-untyped-def]
    """Keep the greatest (time, event id, owner, domain) of each pin: the same in any order."""
    for i in range(len(pin)):
        row = newest[pin[i]]
        given = (time[i], event_id[i], owner[i], domain[i])
        if given > (row[0], row[1], row[2], row[3]):
            row[0], row[1], row[2], row[3] = given


@njit(cache=True)
def _qualities(sums, factor, rates):  # type: ignore[no-untyped-def]
    """``(n, 5)`` undecayed sums (exposure, then actions) → ``(n,)`` quality as of now."""
    out = np.zeros(len(sums))
    for i in range(len(sums)):
        exposure = sums[i, 0] * factor
        for a in range(4):
            expected = rates[a] * exposure
            lift = np.log((sums[i, a + 1] * factor + LIFT_PRIOR) / (expected + LIFT_PRIOR))
            out[i] += ACTION_WEIGHTS[a] * lift
    return out


@njit(cache=True)
def _read(dense, sums, factor, rates, off, out):  # type: ignore[no-untyped-def]
    """For ``(n,)`` dense numbers, -1 where unknown: quality of all, followers and others, exposure, what was earned."""
    both = np.zeros(5)
    for i in range(len(dense)):
        row = dense[i]
        for a in range(5):
            both[a] = sums[row, 0, a] + sums[row, 1, a] if row >= 0 else 0.0
        earned = 0.0
        for audience in range(3):
            quality = 0.0
            # In the order of `_qualities`, so that both give the same bits.
            exposure = both[0] if audience == 0 else sums[row, 2 - audience, 0] if row >= 0 else 0.0
            exposure = exposure * factor
            for a in range(4):
                acted = both[a + 1] if audience == 0 else sums[row, 2 - audience, a + 1] if row >= 0 else 0.0
                lift = np.log((acted * factor + LIFT_PRIOR) / (rates[a] * exposure + LIFT_PRIOR))
                quality += ACTION_WEIGHTS[a] * lift
                if audience == 0:
                    earned += ACTION_WEIGHTS[a] * acted * factor
            out[audience, i] = quality - off[i]
        out[3, i] = both[0] * factor
        out[4, i] = max(earned, 0.0)


@njit(cache=True)
def _add_up(group, exposure, quality, positive, out):  # type: ignore[no-untyped-def]
    for i in range(len(group)):
        out[group[i], 0] += exposure[i]
        out[group[i], 1] += exposure[i] * quality[i]
        out[group[i], 2] += positive[i]


class Quality:
    """Forward-decayed sums by pin and by acting pinner; about 170 bytes a pin and 60 a pinner.

    Every event adds, so any order of batches, or of rebuilt sums, gives the same state. What ``safety`` says of a pin's
    picture is taken off its quality.
    """

    def __init__(self, safety: Safety | None = None) -> None:
        self._safety = Safety() if safety is None else safety
        self._pins = IdIndex()
        #: Pin, audience (wider, followers), exposure and the four actions.
        self._sums = np.zeros((0, 2, 5))
        #: Pin → (time, event id, owner, domain) of its greatest event.
        self._newest = np.full((0, 4), -1, np.int64)
        self._actors = IdIndex()
        self._given = np.zeros(0)
        self._totals = np.zeros(5)
        self._rows = 0
        self._owners = IdIndex()
        self._domains = IdIndex()
        self._summary: _Summary | None = None

    def __len__(self) -> int:
        """Pins with any event."""
        return len(self._pins)

    @property
    def nbytes(self) -> int:
        indexes = self._pins.nbytes + self._actors.nbytes
        return indexes + self._sums.nbytes + self._newest.nbytes + self._given.nbytes

    def update(self, engagement: Engagement) -> None:
        """Fold events in; late ones need nothing special."""
        if not len(engagement):
            return
        amount = weight(engagement.time, QUALITY_HALF_LIFE_MS)
        shown = engagement.kind == Kind.IMPRESSION
        counted = amount.copy()
        counted[shown] *= examination(engagement.surface[shown], engagement.position[shown])
        pins = self._intern(engagement.pin)
        _fold(pins, engagement.is_follower, engagement.kind, counted, self._sums)
        _attribute(pins, engagement.time, engagement.event_id, engagement.owner, engagement.domain, self._newest)
        self._totals += np.bincount(engagement.kind - 1, counted, 5)
        gave = ~shown & (engagement.kind != Kind.HIDE) & (engagement.pinner != 0)
        self.load_given(engagement.pinner[gave], amount[gave])
        self._rows += len(engagement)

    def load_sums(self, pins: Ints, is_follower: NDArray[np.uint8], sums: Floats) -> None:
        """Add stored sums: ``pins`` and ``is_follower`` ``(n,)``, ``sums`` ``(n, 5)`` exposure and :data:`ACTIONS`."""
        dense = self._intern(pins)
        np.add.at(self._sums, (dense, is_follower), sums)
        self._totals += sums.sum(axis=0)
        self._rows += len(pins)

    def load_attribution(self, pins: Ints, times: Ints, event_ids: Ints, owners: Ints, domains: Ints) -> None:
        """Merge the greatest event of each pin; all ``(n,)``."""
        dense = self._intern(pins)
        _attribute(dense, times, event_ids, owners, domains, self._newest)
        self._rows += len(pins)

    def load_given(self, pinners: Ints, sums: Floats) -> None:
        """Add forward-decayed sums of closeups, outbound clicks and saves that pinners made; both ``(n,)``."""
        dense = self._actors.intern(pinners)
        self._given = grown(self._given, len(self._actors))
        np.add.at(self._given, dense, sums)
        self._rows += len(pinners)

    @property
    def rates(self) -> Floats:
        """Actions per examined impression over everything, ``(4,)`` in the order of :data:`ACTIONS`."""
        return self._totals[1:] / self._totals[0] if self._totals[0] > 0 else np.zeros(4)

    @property
    def rate(self) -> float:
        """Weighted actions for each examined impression over everything; at least 0."""
        return max(0.0, float(self.rates @ ACTION_WEIGHTS))

    def pins(self, ids: Ints, now: int) -> PinQuality:
        """Quality of pins as of ``now`` (ms), always exact. ``(n,) -> (n,)`` each."""
        dense = self._pins.lookup(ids)
        out = np.empty((5, len(dense)))
        _read(dense, self._sums, _factor(now), self.rates, penalty(self._safety.scores(ids)), out)
        return PinQuality(*out)

    def owners(self, ids: Ints, now: int) -> PinnerQuality:
        """Quality of pinners as of ``now`` (ms). ``(n,) -> (n,)`` each."""
        summary = self._summed(now)
        exposure, weighted, positive = _rows_of(summary.owners, self._owners.lookup(ids)).T
        posts = (weighted + MEAN_PRIOR * summary.mean) / (exposure + MEAN_PRIOR)
        expected = self.rates[:3].sum() * exposure
        received = np.log((positive + LIFT_PRIOR) / (expected + LIFT_PRIOR))
        actors = self._actors.lookup(ids)
        gave = np.log1p(as_of(_rows_of(self._given, actors), now, QUALITY_HALF_LIFE_MS))
        given = gave / (1.0 + gave)
        return PinnerQuality(POSTS * posts + RECEIVED * received + GIVEN * given, posts, received, given, exposure)

    def domains(self, ids: Ints, now: int) -> Floats:
        """Quality of domains as of ``now`` (ms): the shrunk mean over their pins. ``(n,) -> (n,)``."""
        summary = self._summed(now)
        exposure, weighted, _ = _rows_of(summary.domains, self._domains.lookup(ids)).T
        return (weighted + MEAN_PRIOR * summary.mean) / (exposure + MEAN_PRIOR)

    def leaders(self, k: int, now: int) -> Leaders:
        """The ``k`` best pins as of ``now`` (ms); equal ones by id."""
        quality = self._summed(now).pins
        best = np.argpartition(-quality, k)[:k] if k < len(quality) else np.arange(len(quality))
        best = best[np.lexsort((self._pins.ids[best], -quality[best]))]
        return Leaders(self._pins.ids[best], quality[best])

    def erase(self, pinner: int) -> None:
        """Forget what a pinner gave and which pins were theirs; the pins' own sums stay, as their rows do."""
        dense = self._actors.forget(pinner)
        if dense >= 0:
            self._given[dense] = 0
        owners = self._newest[: len(self._pins), 2]
        owners[owners == pinner] = 0
        self._owners.forget(pinner)
        self._summary = None

    def _intern(self, pins: Ints) -> NDArray[np.int32]:
        dense = self._pins.intern(pins)
        self._sums = grown(self._sums, len(self._pins))
        self._newest = grown(self._newest, len(self._pins), -1)
        return dense

    @property
    def _changes(self) -> int:
        return self._rows + self._safety.changes

    def _summed(self, now: int) -> _Summary:
        cached, pins = self._summary, len(self._pins)
        if cached is not None:
            rows_ok = self._changes - cached.rows <= max(0, pins - EXACT_PINS) // 4
            same_time = cached.now == now
            time_ok = pins > EXACT_PINS and abs(now - cached.now) * EXACT_PINS <= STALE_MS * pins
            if rows_ok and (same_time or time_ok):
                return cached
        factor = _factor(now)
        sums = self._sums[:pins, 0] + self._sums[:pins, 1]
        quality = _qualities(sums, factor, self.rates) - penalty(self._safety.scores(self._pins.ids))
        exposure, positive = sums[:, 0] * factor, (sums[:, 1] + sums[:, 2] + sums[:, 3]) * factor
        examined = float(exposure.sum())
        mean = float(exposure @ quality) / examined if examined > 0 else 0.0
        groups: list[Floats] = []
        for index, column in ((self._owners, 2), (self._domains, 3)):
            dense = index.intern(self._newest[:pins, column])
            out = np.zeros((len(index), 3))
            _add_up(dense, exposure, quality, positive, out)
            if (unknown := index.find(0)) >= 0:
                out[unknown] = 0  # id 0 is nobody's
            groups.append(out)
        self._summary = _Summary(now, self._changes, quality, mean, groups[0], groups[1])
        return self._summary


def _factor(now: int) -> float:
    return as_of(1.0, now, QUALITY_HALF_LIFE_MS)


def _rows_of(table: Floats, dense: NDArray[np.int32]) -> Floats:
    """Rows of a table, 0 where the number is -1."""
    out = np.zeros((len(dense), *table.shape[1:]))
    out[dense >= 0] = table[dense[dense >= 0]]
    return out
