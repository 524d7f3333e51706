"""What memory keeps of slates, from ClickHouse: what pinners were shown lately, and what came of each source's pins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from operators.slate.rewards import MAX_PINNERS
from operators.slate.shown import LASTS, MAX_PLACES, mask_of
from operators.slate.slate import Slate
from streams.stores.protocols import EventStore

if TYPE_CHECKING:
    from streams.state import HotState

#: Slates read at a time by a start, the latest first, and at most.
MOST_SLATES = MAX_PLACES // 25
#: How long a slate's row may take to show after the moment it carries, milliseconds.
OVERLAP_MS = 10_000
#: Slates taken in by one look at what others wrote.
CHUNK = 5_000
_COUNTS = ("impressions", "closeups", "outbound_clicks", "saves", "hides")
_SUMS = ", ".join(f"sum({name}) AS {name}_" for name in _COUNTS)
_SLATES = "SELECT slate, pinner, emitted, pins, sources FROM slates WHERE"


def remember(state: HotState, slates: Sequence[Slate]) -> None:
    """Slates that this worker emitted or answered with."""
    items = [
        (slate.slate, slate.pinner, slate.emitted, item.pin, mask_of(list(item.sources)))
        for slate in slates
        for item in slate.items
    ]
    if items:
        state.shown.add(*(np.array(column, np.int64) for column in zip(*items, strict=True)))


async def load(state: HotState, events: EventStore) -> None:
    """Fill an empty memory. Raises StoreUnavailable."""
    sql = f"SELECT pinner, source, {_SUMS}, max(latest) AS latest_ FROM rewards_by_source"
    latest = f"SELECT pinner FROM rewards_by_source GROUP BY pinner ORDER BY max(latest) DESC LIMIT {MAX_PINNERS}"
    rows = await events.query(f"{sql} WHERE pinner IN ({latest}) GROUP BY pinner, source")
    if rows:
        pinners, sources, last = (np.array(rows[name], np.int64) for name in ("pinner", "source", "latest_"))
        state.rewards.load(pinners, sources, _counts(rows), last)
    rows = await events.query(f"SELECT source, {_SUMS} FROM rewards_by_source GROUP BY source")
    if rows:
        state.rewards.load_everybody(np.array(rows["source"], np.int64), _counts(rows))
    newest = await events.query("SELECT max(emitted) AS newest FROM slates")
    since = (int(newest["newest"][0]) if newest else 0) - LASTS
    rows = await events.query(f"{_SLATES} emitted > {since} ORDER BY emitted DESC LIMIT {MOST_SLATES}")
    if rows:
        # Oldest first, so that every place goes to the end of its ring.
        _add(state, {name: column[::-1] for name, column in rows.items()})


async def follow(state: HotState, events: EventStore, since: int) -> int:
    """Take in slates emitted after ``since`` (ms), as other workers wrote them; returns what to ask for next.

    Raises StoreUnavailable.
    """
    rows = await events.query(f"{_SLATES} emitted > {{since:Int64}} ORDER BY emitted LIMIT {CHUNK}", {"since": since})
    if not rows:
        return since
    _add(state, rows)
    newest = int(rows["emitted"][-1])
    return newest - 1 if len(rows["emitted"]) == CHUNK else max(since, newest - OVERLAP_MS)


def _add(state: HotState, rows: Mapping[str, NDArray[Any]]) -> None:
    each = [len(pins) for pins in rows["pins"]]
    if not sum(each):
        return
    masks = [mask_of(str(names).split(",")) for names in chain.from_iterable(rows["sources"])]
    slates, pinners, emitted = (
        np.repeat(np.array(rows[name], np.int64), each) for name in ("slate", "pinner", "emitted")
    )
    pins = np.concatenate(list(rows["pins"])).astype(np.int64)
    state.shown.add(slates, pinners, emitted, pins, np.array(masks, np.int64))


def _counts(rows: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    return np.stack([np.array(rows[f"{name}_"], np.int64) for name in _COUNTS], axis=1)
