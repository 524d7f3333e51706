"""The behaviour log as impressions: what was clicked beside what was not, and what was known of both just before.

The log has only what pinners did. So each click is put among candidates that were not clicked then: four items that
other pinners click next, so popular ones as often as they are clicked, and one in five times one of the pinner's own
latest fifty (as one click in five comes back to one). Heads: ``click`` over all of these, and ``save`` over the clicks
alone: was the item put aside (favourite), into the cart or bought by the pinner within a day.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from math import log1p
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.quality.impressions import Impressions, Parts

Ints = NDArray[np.int64]
HEADS = ("click", "save")
CLICK, FAVOURITE, CART, BUY = range(4)
KINDS = {b"pv": CLICK, b"fav": FAVOURITE, b"cart": CART, b"buy": BUY}
HOUR, DAY = 3600, 86_400
#: The first second of the days that are looked at for choices and calibration, and of those that are only tested on.
VALIDATION, TEST = 1_512_086_400, 1_512_172_800  # 2017-12-01, 2017-12-02, midnight UTC
LATEST, SEQUENCE, COMES_BACK = 50, 100, 0.2
FEATURES = (
    "item_clicks", "item_pinners", "item_saves", "item_age", "category_clicks", "category_save_rate",
    "pinner_clicks", "pinner_save_rate", "pinner_gap", "pinner_clicks_hour", "pinner_categories",
    "own_item_clicks", "own_item_saves", "own_item_gap", "own_category_clicks", "own_category_hour",
    "own_category_share", "own_category_saves", "own_category_gap", "own_category_latest", "hour_sin", "hour_cos",
)  # fmt: skip
#: Columns that look at what this pinner did before with this item or category.
OWN = tuple(name for name in FEATURES if name.startswith("own_"))
#: Nothing happened yet: longer ago than the log is long.
NEVER = 30 * DAY


class Log(NamedTuple):
    """Events in time order, ``(n,)`` each; pinners, items and categories are numbered from 0, times are seconds."""

    pinner: Ints
    item: Ints
    category: Ints
    kind: Ints
    time: Ints

    def before(self, time: int) -> Log:
        """The log as it was at a moment."""
        return Log(*(column[: int(np.searchsorted(self.time, time))] for column in self))


class Candidates(NamedTuple):
    """What could be clicked, ``(m,)`` each, in time order; ``clicked`` says what was."""

    pinner: Ints
    item: Ints
    category: Ints
    time: Ints
    clicked: NDArray[np.bool_]


def read(file: Path) -> Log:
    """The log in a file."""
    rows = sorted((line.split(b",") for line in file.read_bytes().split()), key=lambda row: int(row[4]))
    columns = [np.unique([int(row[at]) for row in rows], return_inverse=True)[1] for at in range(3)]
    return Log(*columns, np.array([KINDS[row[3]] for row in rows]), np.array([int(row[4]) for row in rows]))


def candidates(log: Log, seed: int) -> Candidates:
    """Every click and what it is put among; the same for the same seed."""
    chance = np.random.default_rng(seed)
    category_of = dict(zip(log.item.tolist(), log.category.tolist(), strict=True))
    own: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=LATEST))
    rows: list[tuple[int, int, int, bool]] = []
    soon = _soon(log)
    for at, (pinner, item, _, kind, time) in enumerate(zip(*(column.tolist() for column in log), strict=True)):
        if kind != CLICK:
            continue
        drawn = _next_of_others(log, at, chance)
        back, which = chance.random(2).tolist()
        drawn += [own[pinner][int(which * len(own[pinner]))]] if own[pinner] and back < COMES_BACK else []
        rows.append((time, pinner, item, True))
        taken = {item}
        for other in drawn:
            if other not in taken and not _acts_soon(soon, pinner, other, time):
                taken.add(other)
                rows.append((time, pinner, other, False))
        own[pinner].append(item)
    time, pinner, item = (np.array([row[at] for row in rows]) for at in range(3))
    category = np.array([category_of[one] for one in item.tolist()])
    return Candidates(pinner, item, category, time, np.array([row[3] for row in rows]))


def saved(log: Log, rows: Candidates, until: int) -> NDArray[np.bool_]:
    """Whether the pinner puts the item aside within a day of each row, as far as is known at ``until``."""
    when: dict[tuple[int, int], list[int]] = defaultdict(list)
    for pinner, item, _, kind, time in zip(*(column.tolist() for column in log), strict=True):
        if kind != CLICK and time < until:
            when[pinner, item].append(time)
    asked = zip(rows.pinner.tolist(), rows.item.tolist(), rows.time.tolist(), strict=True)
    return np.array([any(time <= then <= time + DAY for then in when[pinner, item]) for pinner, item, time in asked])


def features(log: Log, rows: Candidates) -> tuple[NDArray[np.float32], Ints]:
    """``(m, len(FEATURES))`` and the pinner's latest events ``(m, SEQUENCE)``, newest first, -1 where there are fewer.

    Of events strictly before the row's second only.
    """
    table = np.zeros((len(rows.time), len(FEATURES)), np.float32)
    latest = np.full((len(rows.time), SEQUENCE), -1, np.int64)
    known = _Known()
    at, times = 0, log.time.tolist()
    events = list(zip(*(column.tolist() for column in log), strict=True))
    asked = zip(*(column.tolist() for column in rows[:4]), strict=True)
    for row, (pinner, item, category, time) in enumerate(asked):
        while at < len(times) and times[at] < time:
            known.add(at, *events[at])
            at += 1
        table[row] = known.of(pinner, item, category, time)
        newest = list(known.events[pinner])[::-1]
        latest[row, : len(newest)] = newest
    return table, latest


def impressions(log: Log, seed: int) -> Impressions:
    """Candidates with features, labels and sequences, parted by time."""
    rows = candidates(log, seed)
    table, latest = features(log, rows)
    ends = {"train": VALIDATION, "validation": TEST, "test": int(log.time[-1]) + 1}
    # A training that is over before a day's end cannot have waited for what comes later in it.
    put_aside = np.zeros(len(rows.time), np.bool_)
    part = np.searchsorted([VALIDATION, TEST], rows.time, side="right")
    for number, until in enumerate(ends.values()):
        put_aside = np.where(part == number, saved(log, rows, until), put_aside)
    clicks, saves, rate = (
        np.repeat(table[:, [FEATURES.index(name)]].astype(np.float64), 2, axis=1)
        for name in ("item_clicks", "item_saves", "pinner_save_rate")
    )
    # Each click has as many candidates as another's, so a pinner's rate of clicks says nothing.
    rate[:, 0] = 0.0
    return Impressions(
        heads=HEADS,
        names=FEATURES,
        features=table,
        labels=np.stack([rows.clicked, put_aside], axis=1),
        asked=np.stack([np.ones(len(table), np.bool_), rows.clicked], axis=1),
        group=rows.pinner,
        baselines={"popularity": clicks, "the item's rate of saves": saves, "per-pinner rate": rate},
        parts=Parts.of(part),
        own=OWN,
        pins=np.stack([rows.category, rows.item], axis=1),
        times=rows.time,
        latest=latest,
        events=np.stack([log.category, log.item, log.kind, log.time], axis=1),
    )


class _Known:
    """Everything that features are made of, event by event."""

    def __init__(self) -> None:
        self.events: dict[int, deque[int]] = defaultdict(lambda: deque(maxlen=SEQUENCE))
        self.clicks: dict[tuple[str, int], int] = defaultdict(int)
        self.saves: dict[tuple[str, int], int] = defaultdict(int)
        self.pinners: dict[int, set[int]] = defaultdict(set)
        self.categories: dict[int, set[int]] = defaultdict(set)
        self.last: dict[tuple[str, int, int], int] = {}
        self.first: dict[int, int] = {}
        self.own: dict[tuple[str, int, int], list[int]] = defaultdict(lambda: [0, 0])
        self.recent: dict[int, deque[tuple[int, int]]] = defaultdict(deque)
        self.all = [0, 0]

    def add(self, at: int, pinner: int, item: int, category: int, kind: int, time: int) -> None:
        click = kind == CLICK
        self.events[pinner].append(at)
        counts = self.clicks if click else self.saves
        for key in (("item", item), ("category", category), ("pinner", pinner)):
            counts[key] += 1
        for key in (("item", pinner, item), ("category", pinner, category)):
            self.own[key][0 if click else 1] += 1
            self.last[key] = time
        self.all[0 if click else 1] += 1
        self.last["pinner", pinner, 0] = time
        self.first.setdefault(item, time)
        self.pinners[item].add(pinner)
        self.categories[pinner].add(category)
        self.recent[pinner].append((time, category))

    def of(self, pinner: int, item: int, category: int, time: int) -> list[float]:
        recent = self.recent[pinner]
        while recent and recent[0][0] < time - HOUR:
            recent.popleft()
        prior = (self.all[1] + 1) / (self.all[0] + 30)
        item_own, category_own = self.own["item", pinner, item], self.own["category", pinner, category]
        clicks = self.clicks["pinner", pinner]
        angle = 2 * math.pi * (time % DAY) / DAY
        latest = [each for _, each in list(recent)[-5:]]

        def rate(*key: tuple[str, int]) -> float:
            return (self.saves[key[0]] + 20 * prior) / (self.clicks[key[0]] + 20)

        def gap(*key: tuple[str, int, int]) -> float:
            return log1p(min(NEVER, time - self.last.get(key[0], time - NEVER)))

        return [
            log1p(self.clicks["item", item]), log1p(len(self.pinners[item])), rate(("item", item)),
            log1p(min(NEVER, time - self.first.get(item, time - NEVER))),
            log1p(self.clicks["category", category]), rate(("category", category)),
            log1p(clicks), rate(("pinner", pinner)), gap(("pinner", pinner, 0)), log1p(len(recent)),
            log1p(len(self.categories[pinner])),
            log1p(item_own[0]), log1p(item_own[1]), gap(("item", pinner, item)),
            log1p(category_own[0]), log1p(sum(each == category for _, each in recent)),
            category_own[0] / (clicks + 5), log1p(category_own[1]), gap(("category", pinner, category)),
            latest.count(category) / 5, math.sin(angle), math.cos(angle),
        ]  # fmt: skip


def _next_of_others(log: Log, at: int, chance: np.random.Generator, count: int = 4) -> list[int]:
    """Items that other pinners click next after an event; at the end of the log, before it."""
    around = slice(at + 1, at + 200) if at + 200 < len(log.time) else slice(at - 200, at)
    others = log.item[around][(log.pinner[around] != log.pinner[at]) & (log.kind[around] == CLICK)]
    return others[chance.integers(len(others), size=count)].tolist() if len(others) else []


def _soon(log: Log) -> dict[tuple[int, int], list[int]]:
    when: dict[tuple[int, int], list[int]] = defaultdict(list)
    for pinner, item, time in zip(log.pinner.tolist(), log.item.tolist(), log.time.tolist(), strict=True):
        when[pinner, item].append(time)
    return when


def _acts_soon(when: dict[tuple[int, int], list[int]], pinner: int, item: int, time: int) -> bool:
    """Whether the pinner does something with an item in the hour after: then it is no candidate that was left."""
    return any(time <= then <= time + HOUR for then in when.get((pinner, item), ()))
