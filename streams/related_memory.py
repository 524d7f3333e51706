"""What memory keeps for related pins: sessions for Pin2Vec, clicks for Memboost; live and at a start."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from operators.batch import Engagement, Ints
from operators.catalogue import Catalogue
from operators.events import Kind, Surface
from operators.pin2vec.pin2vec import LAG_MS
from operators.pin2vec.waiting import Actions
from operators.related.memboost import PLACES, WORTH, related_slate
from streams.pace import Pace

if TYPE_CHECKING:
    from streams.rebuild import Rows
    from streams.state import HotState

#: Actions learned before others may do something: some five milliseconds.
SLICE = 128
#: Rest after each, as a multiple of what it took.
RESTS = 3.0
#: Seconds between looks at what is due to be learned.
LEARN_SECONDS = 0.5
#: Columns of a start's queries.
ACTIONS = f"""
SELECT logged, event_id, pinner, pin, time FROM engagement
WHERE kind IN ({Kind.CLOSEUP.value}, {Kind.OUTBOUND_CLICK.value}, {Kind.SAVE.value}) AND pinner != 0 AND pin != 0"""
SUMS = "sum(impressions) AS shown, sum(closeups) AS closeup, sum(outbound_clicks) AS outbound, sum(saves) AS saved"
PAIRS = f"SELECT slate, pin, place, {SUMS} FROM related_actions WHERE {{chunk}} GROUP BY slate, pin, place"
RATES = f"SELECT place, {SUMS} FROM related_actions GROUP BY place"


def fold(state: HotState, engagement: Engagement, deleted: NDArray[np.bool_], parts: Sequence[Engagement]) -> None:
    """Fold batches in; ``deleted`` ``(n,)`` says whose pins are, and ``parts`` which rows are of which batch."""
    learned = [part.offset <= state.learned_before.get(part.source[:2], -1) for part in parts]
    state.pin2vec.update(engagement, deleted | np.concatenate(learned))
    for part in filter(len, parts):
        partition, last = part.source[:2], part.source.last
        state.taken[partition] = max(last, state.taken.get(partition, -1))
    seen = (engagement.surface == Surface.RELATED) & (engagement.slate != 0)
    if not seen.any():
        return
    ignored = deleted.copy()
    ignored[seen] |= ~_living(state.catalogue, related_slate(engagement.slate[seen]))
    state.memboost.update(engagement, ignored)


def forget(state: HotState, pins: Ints) -> None:
    """Leave out deleted pins from now on."""
    if len(pins):
        state.pin2vec.drop(pins)
        state.memboost.drop(pins)


def take_actions(state: HotState, rows: Rows) -> None:
    """What :data:`ACTIONS` finds, in any order, waits to be learned; deleted pins' is left out."""
    living = ~state.catalogue.is_deleted(rows["pin"])
    names = ("logged", "event_id", "pinner", "pin", "time")
    state.pin2vec.add(Actions(*(rows[name][living] for name in names)))


def take_pairs(state: HotState, rows: Rows) -> None:
    """What :data:`PAIRS` finds."""
    queries = related_slate(rows["slate"])
    living = _living(state.catalogue, queries) & ~state.catalogue.is_deleted(rows["pin"])
    shown, worth = _sums(rows)
    places = rows["place"].astype(np.int64)
    state.memboost.load(queries[living], rows["pin"][living], places[living], shown[living], worth[living])


def take_rates(state: HotState, rows: Rows) -> None:
    """What :data:`RATES` finds."""
    shown, earned = np.zeros((2, PLACES), np.int64)
    places = rows["place"].astype(np.int64)
    shown[places], earned[places] = _sums(rows)
    state.memboost.load_rates(shown, earned)


async def learn(state: HotState, now: int, pace: Pace | None = None) -> int:
    """Learn what waited long enough at ``now`` (ms, the broker's clock), slice by slice; returns how many actions.

    It takes a quarter of the time at most, a fifth while a crowd waits for slates, a fiftieth while the worker is
    behind.
    """
    done = 0
    while True:
        async with state.learning:
            began = time.thread_time()
            learned = state.pin2vec.learn(now - LAG_MS, SLICE)
        if not learned:
            return done
        done += learned
        spent = time.thread_time() - began
        await asyncio.sleep(max(RESTS * spent, pace.rest_of_learner(spent) if pace else 0.0))


def _living(catalogue: Catalogue, pins: Ints) -> NDArray[np.bool_]:
    return catalogue.known(pins) & ~catalogue.is_deleted(pins)


def _sums(rows: Rows) -> tuple[Ints, Ints]:
    kinds = {"closeup": Kind.CLOSEUP, "outbound": Kind.OUTBOUND_CLICK, "saved": Kind.SAVE}
    worth = sum((int(WORTH[kind]) * rows[name].astype(np.int64) for name, kind in kinds.items()), np.int64(0))
    return rows["shown"].astype(np.int64), np.asarray(worth, np.int64)
